"""Words out of real conversations, in all of their languages, find the message that they are in."""

import random
import re
from collections import defaultdict
from uuid import uuid4

import pytest

from app.search_words import is_unspaced, lexemes
from tests.client import Client
from tests.real_data import conversations_of, files, needs_data

pytestmark = [needs_data, pytest.mark.usefixtures("unmeasured")]

WORDS_OF_A_FILE = 20
RARE = 5  # in so many messages of all: less than a page
MESSAGES_OF_A_FILE = 500
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
_CUT = re.compile(r"^[\W\da-zA-Z]+|[\W\da-zA-Z]+$")


@pytest.fixture(scope="module")
def person(app):
    return Client(app, f"{uuid4().hex}@example.com")


@pytest.fixture(scope="module")
def stored(person):
    """By file what was said in it, message ids with their texts; one conversation holds a file.

    Of the five files with more, the first five hundred messages.
    """
    return {path: list(_store(person, path)) for path in files()}


def _store(person, path):
    said = [message for conversation in conversations_of(path) for message in conversation]
    said = said[:MESSAGES_OF_A_FILE]
    home = person.create(title=path.stem)["id"]
    for start in range(0, len(said), 100):
        batch = said[start : start + 100]
        messages = [{"role": role, "content": text} for role, text in batch]
        answer = person.post(f"/conversations/{home}/messages", json={"messages": messages})
        assert answer.status_code == 201, answer.text
        yield from ((shown["id"], shown["content"]) for shown in answer.json["messages"])


@pytest.fixture(scope="module")
def holders(stored):
    """By lexeme the messages that have it."""
    found = defaultdict(set)
    for said in stored.values():
        for message_id, text in said:
            for lexeme in set(lexemes(text)):
                found[lexeme].add(message_id)
    return found


def words_of(text, dice):
    """The words as they are written; of writing without spaces, two to six neighbours."""
    for written in text.split():
        word = _EDGES.sub("", written)
        if word and word != "OR" and is_unspaced(word):
            start = dice.randrange(len(word))
            word = _CUT.sub("", word[start : start + dice.randint(2, 6)])
            if any(len(lexeme) == 1 for lexeme in lexemes(word)):
                continue  # which may be the beginning of many others
        if len(word) > 1 and word != "OR":
            yield word


def picked(said, holders, dice):
    """Words with a message that has each: those on the first page by their own right, and, where
    a file has too few of them, others.
    """
    words = {}
    for message_id, text in dice.sample(said, len(said)):
        for word in words_of(text, dice):
            words.setdefault(word, message_id)
        if len(words) > 500:
            break
    mixed = dice.sample(list(words), len(words))
    mixed.sort(key=lambda word: max(RARE, len(_holding(word, holders))))
    return [(word, words[word]) for word in mixed[:WORDS_OF_A_FILE]]


def _holding(word, holders):
    """The messages that have all its lexemes."""
    return set.intersection(*sorted((holders[lexeme] for lexeme in lexemes(word)), key=len))


def test_words_of_every_file_find_their_message(person, stored, holders):
    """A word that is too frequent for that fills the first page with messages that have it."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, lost = random.Random(seed), []
    for path, said in stored.items():
        words = picked(said, holders, dice)
        print(path.name, len(said), *(word for word, _ in words), sep=" | ")
        for word, message_id in words:
            answer = person.get("/search", query_string={"q": word, "limit": 10})
            hits = [hit for hit in answer.json["results"] if hit["kind"] == "message"]
            ids, holding = {hit["message_id"] for hit in hits}, _holding(word, holders)
            is_found = message_id in ids if len(holding) <= RARE else ids <= holding and ids
            if not is_found or not all("<mark>" in hit["snippet"] for hit in hits):
                lost.append((path.name, word))
    assert lost == []


def test_vietnamese_is_found_with_and_without_its_marks(person, stored):
    for written, bare in (("Đẹp trai", "dep trai"), ("tự tin", "tu tin"), ("Lỗi", "LOI")):
        found = [
            [hit["message_id"] for hit in search.json["results"] if hit["message_id"]]
            for search in (person.get("/search", query_string={"q": q}) for q in (written, bare))
        ]
        assert found[0] == found[1]
        assert found[0]
