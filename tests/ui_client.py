"""The AI SDK's client (ai 6) in small: what it makes of a stream, and what it fails at."""

import json

_FIELDS = {
    "start": ({"messageId", "messageMetadata"}, set()),
    "start-step": (set(), set()),
    "finish-step": (set(), set()),
    "text-start": ({"id"}, set()),
    "text-delta": ({"id", "delta"}, set()),
    "text-end": ({"id"}, set()),
    "reasoning-start": ({"id"}, set()),
    "reasoning-delta": ({"id", "delta"}, set()),
    "reasoning-end": ({"id"}, set()),
    "tool-input-available": ({"toolCallId", "toolName", "input", "providerExecuted"}, set()),
    "tool-output-available": ({"toolCallId", "output", "providerExecuted"}, set()),
    "tool-output-error": ({"toolCallId", "errorText", "providerExecuted"}, set()),
    "source-url": ({"sourceId", "url", "providerMetadata"}, {"title"}),
    "source-document": ({"sourceId", "mediaType", "title", "providerMetadata"}, set()),
    "message-metadata": ({"messageMetadata"}, set()),
    "error": ({"errorText"}, set()),
    "abort": (set(), set()),
    "finish": ({"messageMetadata"}, {"finishReason"}),
}
_DATA = ({"data"}, {"id", "transient"})
_REASONS = {"stop", "length", "content-filter", "tool-calls", "error", "other"}
_ENDS = {"finish", "abort", "error"}


def chunks_of(pieces):
    """The chunks of a stream; each is one line of JSON, and the last line is [DONE]."""
    *frames, done, rest = b"".join(pieces).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    said = [frame for frame in frames if not frame.startswith(b":")]
    assert all(frame.startswith(b"data: {") and b"\n" not in frame for frame in said)
    return [json.loads(frame.removeprefix(b"data: ")) for frame in said]


class UiClient:
    """`message` is what it has when it has taken a stream; `ended` how the stream ended."""

    def __init__(self):
        self.message = {"role": "assistant", "metadata": {}, "parts": []}
        self.passing, self.ended = [], None
        self._open = {}

    def take(self, chunks):
        for chunk in chunks:
            assert self.ended is None, "nothing comes after the end"
            self._check(chunk)
            self._take(chunk)
        assert self.ended, "a stream has an end"
        assert not self._open, "what is begun is ended"
        return self.message

    def _check(self, chunk):
        must, may = _DATA if chunk["type"].startswith("data-") else _FIELDS[chunk["type"]]
        assert must <= chunk.keys() - {"type"} <= must | may, chunk
        assert chunk.get("finishReason", "stop") in _REASONS

    def _take(self, chunk):
        kind, _, what = chunk["type"].partition("-")
        if kind in ("text", "reasoning"):
            self._say(kind, what, chunk)
        elif kind == "tool":
            self._call(what, chunk)
        elif kind == "data":
            self._show(chunk)
        elif kind == "source":
            self.message["parts"].append(chunk)
        elif chunk["type"] == "start-step":
            self.message["parts"].append({"type": "step-start"})
        elif chunk["type"] == "start":
            self.message["id"] = chunk["messageId"]
        if chunk["type"] in _ENDS:
            self.ended = chunk
        self.message["metadata"] |= chunk.get("messageMetadata", {})

    def _say(self, kind, what, chunk):
        place = kind, chunk["id"]
        if what == "start":
            named = {"id": chunk["id"]} if kind == "reasoning" else {}
            self._open[place] = {"type": kind, **named, "text": "", "state": "streaming"}
            self.message["parts"].append(self._open[place])
        elif what == "delta":
            self._open[place]["text"] += chunk["delta"]
        else:
            self._open.pop(place)["state"] = "done"

    def _call(self, what, chunk):
        if what == "input-available":
            named = {name: chunk[name] for name in ("toolCallId", "input", "providerExecuted")}
            part = {"type": f"tool-{chunk['toolName']}", "state": what, **named}
            self.message["parts"].append(part)
            return
        called = [
            part
            for part in self.message["parts"]
            if part["type"].startswith("tool-") and part["toolCallId"] == chunk["toolCallId"]
        ]
        result = {name: chunk[name] for name in ("output", "errorText") if name in chunk}
        called[-1].update(state=what, **result)

    def _show(self, chunk):
        if chunk.get("transient"):
            self.passing.append(chunk)
            return
        same = [
            part
            for part in self.message["parts"]
            if "id" in chunk and (part["type"], part.get("id")) == (chunk["type"], chunk["id"])
        ]
        if same:
            same[0]["data"] = chunk["data"]
        else:
            self.message["parts"].append(chunk)
