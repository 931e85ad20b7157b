"""How tests call the API within the process: as one user, with a token that the service issues."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier


class Client:
    def __init__(self, app, email):
        self.app = app
        self.email = email
        self.token = bearer(app, email)
        self._http = app.test_client()

    def __getattr__(self, method):
        """`get`, `post`, `patch`, `put`, `delete` of Flask's test client, signed."""
        call = getattr(self._http, method)

        def signed(path, **options):
            headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
            return call(path, headers=headers, **options)

        return signed

    def create(self, *said, **fields):
        """The record of a new conversation in which `said` was said, user first."""
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(said)]
        body = fields | ({"messages": messages} if messages else {})
        answer = self.post("/conversations", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json

    def say(self, conversation_id, *messages):
        """The answer to a store-only append of user messages."""
        body = {"messages": [{"role": "user", "content": text} for text in messages]}
        return self.post(f"/conversations/{conversation_id}/messages", json=body)

    def messages(self, conversation_id):
        answer = self.get(f"/conversations/{conversation_id}?limit=100")
        assert answer.status_code == 200, answer.text
        return answer.json["messages"]

    def ask(self, message, wire="json", **fields):
        """The answer to a question."""
        return self.post(f"/chat?wire={wire}", json={"message": message, **fields})


def at_once(work, items):
    """What `work` gives for each item, all begun at the same moment, each in a thread."""
    items = list(items)
    barrier = Barrier(len(items))

    def begin(item):
        barrier.wait()
        return work(item)

    with ThreadPoolExecutor(len(items)) as threads:
        return list(threads.map(begin, items))


def bearer(app, email, **claims):
    tokens = app.extensions["parley"].services.tokens
    return tokens.issue(email, lifetime=timedelta(hours=1), **claims)
