"""What /metrics tells, as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """`scrape.value(name, **labels)`: the sum of the samples that have those labels."""

    def __init__(self, text):
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [it for family in self.families.values() for it in family.samples]

    def value(self, name, **labels):
        return sum(it.value for it in self._samples(name, labels))

    def has(self, name, **labels):
        return bool(self._samples(name, labels))

    def _samples(self, name, labels):
        named = [it for it in self.samples if it.name == f"parley_{name}"]
        return [it for it in named if labels.items() <= it.labels.items()]


def scraped(app):
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    return Scrape(answer.text)
