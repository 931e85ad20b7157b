"""The wrong builds that `make test-mutants` tries: they fit the program as it is now."""

from tests.mutants import ROOT, apply, patches, witnesses


def test_every_wrong_build_can_still_be_made():
    assert len(patches()) >= 41
    unfit = {patch.name: apply(patch, ROOT, "--check").stderr for patch in patches()}
    assert {name: why for name, why in unfit.items() if why} == {}


def test_every_wrong_build_names_tests_that_there_are():
    for patch in patches():
        assert witnesses(patch), patch.name
        for test in witnesses(patch):
            path, _, name = test.partition("::")
            is_there = not name or f"def {name}(" in (ROOT / path).read_text()
            assert is_there, (patch.name, test)
