// The AI SDK's own classes, pointed at the server under test.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { AbstractChat, DefaultChatTransport } from "ai";

export const url = process.env.PARLEY_URL;
const headers = { Authorization: `Bearer ${process.env.PARLEY_TOKEN}` };

export const transport = (options = {}) =>
  new DefaultChatTransport({ api: `${url}/chat`, headers, ...options });

export const call = (path, options = {}) => fetch(`${url}${path}`, { headers, ...options });

export const freshId = () => `chat-${randomUUID()}`;

// What every front end's useChat keeps, without the front end.
class State {
  status = "ready";
  error = undefined;

  constructor(messages) {
    this.messages = messages;
  }

  pushMessage = (message) => {
    this.messages = [...this.messages, message];
  };

  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };

  replaceMessage = (index, message) => {
    this.messages = this.messages.with(index, this.snapshot(message));
  };

  snapshot = (thing) => structuredClone(thing);
}

export class Chat extends AbstractChat {
  constructor({ messages = [], ...init } = {}) {
    super({ id: freshId(), transport: transport(), ...init, state: new State(messages) });
  }
}

export const textOf = (message) =>
  message.parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("");

// The messages of the branch that is shown, as a page that is loaded begins with them.
export async function stored(id) {
  const answer = await call(`/conversations/${encodeURIComponent(id)}/messages?format=ui`);
  assert.equal(answer.status, 200);
  return (await answer.json()).messages;
}

// What is undefined to a client is absent in what is stored.
export const asJson = (value) => JSON.parse(JSON.stringify(value));

// Answers are stored as the client has them; of a question, the client knows all but the metadata.
export async function assertStored(chat) {
  const kept = await stored(chat.id);
  assert.deepEqual(
    kept.map((message) => message.id),
    chat.messages.map((message) => message.id),
  );
  for (const [place, message] of asJson(chat.messages).entries()) {
    const { metadata, ...said } = kept[place];
    if (message.role === "user") {
      delete message.metadata;
      assert.deepEqual(message, said);
    } else {
      assert.deepEqual(message, kept[place]);
    }
  }
  return kept;
}

export async function until(condition, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, "not true in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
