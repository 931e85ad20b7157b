// Whatever a client of the AI SDK does, it ends with what is stored.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { readUIMessageStream } from "ai";
import {
  Chat,
  asJson,
  assertStored,
  call,
  freshId,
  stored,
  textOf,
  transport,
  until,
} from "./parley.js";

const slim = () =>
  transport({
    prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => ({
      body: { id, trigger, messageId, message: messages.at(-1) },
    }),
  });

const question = (text) => ({ id: freshId(), role: "user", parts: [{ type: "text", text }] });

async function sent(...texts) {
  const chat = new Chat();
  for (const text of texts) {
    await chat.sendMessage({ text });
    assert.equal(chat.error, undefined);
  }
  return chat;
}

test("what is sent is answered, and stored as the client has it", async () => {
  const chat = await sent("Where is Huế?", "And Hội An?");
  assert.equal(chat.status, "ready");
  assert.deepEqual(chat.messages.map(textOf), [
    "Where is Huế?",
    "You said: Where is Huế?",
    "And Hội An?",
    "You said: And Hội An?",
  ]);
  const kept = await assertStored(chat);
  assert.equal(kept.at(-1).metadata.status, "complete");
  assert.equal(kept.at(-1).metadata.model, "plain-1");
});

test("the slim form does all that the long one does", async () => {
  const chat = new Chat({ transport: slim() });
  await chat.sendMessage({ text: "one" });
  await chat.sendMessage({ text: "two" });
  await chat.regenerate();
  await chat.sendMessage({ text: "ONE", messageId: chat.messages[0].id });
  assert.equal(chat.error, undefined);
  assert.deepEqual(chat.messages.map(textOf), ["ONE", "You said: ONE"]);
  await assertStored(chat);
});

test("a chat that goes by a UUID of the client's is the same chat each time", async () => {
  const chat = new Chat({ id: randomUUID(), generateId: randomUUID });
  await chat.sendMessage({ text: "one" });
  await chat.sendMessage({ text: "two" });
  await chat.regenerate();
  assert.equal(chat.error, undefined);
  assert.equal((await assertStored(chat)).length, 4);
});

test("a message is said differently again and again, under the id that it has", async () => {
  const chat = await sent("one", "two");
  const first = chat.messages[0].id;
  await chat.sendMessage({ text: "ONE", messageId: first });
  await chat.sendMessage({ text: "next" });
  await chat.sendMessage({ text: "ONE!", messageId: first });
  assert.deepEqual(chat.messages.map(textOf), ["ONE!", "You said: ONE!"]);
  await assertStored(chat);
  await chat.regenerate();
  await chat.sendMessage({ text: "on" });
  assert.equal(chat.error, undefined);
  const kept = await assertStored(chat);
  assert.equal(kept[0].id, first);
  const all = await call(`/conversations/${chat.id}/messages?branch=all&limit=100`);
  const said = (await all.json()).messages.filter((message) => message.role === "user");
  assert.deepEqual(
    said.map((message) => message.content),
    ["one", "two", "ONE", "next", "ONE!", "on"],
  );
});

test("a message that was loaded, not sent, is edited by the id that it came with", async () => {
  const made = await call("/conversations", {
    method: "POST",
    headers: {
      Authorization: `Bearer ${process.env.PARLEY_TOKEN}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({
      messages: [
        { role: "user", content: "one" },
        { role: "assistant", content: "eins" },
      ],
    }),
  });
  const { id } = await made.json();
  const chat = new Chat({ id, messages: await stored(id) });
  await chat.sendMessage({ text: "ONE", messageId: chat.messages[0].id });
  await chat.sendMessage({ text: "Uno", messageId: chat.messages[0].id });
  assert.equal(chat.error, undefined);
  assert.deepEqual(chat.messages.map(textOf), ["Uno", "You said: Uno"]);
  await assertStored(chat);
});

test("an answer is given anew, the last one or one that is named", async () => {
  const chat = await sent("one", "two");
  const before = chat.messages.map((message) => message.id);
  await chat.regenerate();
  assert.deepEqual(chat.messages.slice(0, 3).map((message) => message.id), before.slice(0, 3));
  assert.notEqual(chat.messages[3].id, before[3]);
  await assertStored(chat);
  await chat.regenerate({ messageId: before[1] });
  assert.equal(chat.error, undefined);
  assert.deepEqual(chat.messages.map(textOf), ["one", "You said: one"]);
  await assertStored(chat);
});

test("a question that never arrived is asked when its answer is wanted anew", async () => {
  let isAway = true;
  const chat = new Chat({
    transport: transport({
      fetch: (...request) => {
        if (isAway) throw new TypeError("fetch failed");
        return fetch(...request);
      },
    }),
  });
  await chat.sendMessage({ text: "one" });
  assert.equal(chat.status, "error");
  isAway = false;
  await chat.regenerate();
  assert.deepEqual(chat.messages.map(textOf), ["one", "You said: one"]);
  await assertStored(chat);
});

test("everything that an agent's answer can have is shown, and stored as it is shown", async () => {
  const seen = [];
  const chat = new Chat({
    transport: transport({ api: `${process.env.PARLEY_URL}/chat/agent` }),
    onData: (part) => seen.push(structuredClone(part)), // it is changed when it comes again
    onToolCall: () => assert.fail("tools run on the server"),
  });
  await chat.sendMessage({ text: "Where is Huế?" });
  assert.equal(chat.error, undefined);
  const kept = (await assertStored(chat)).at(-1);
  assert.deepEqual(
    kept.parts.map((part) => part.type),
    [
      "step-start",
      "reasoning",
      "tool-search_conversations",
      "data-progress",
      "text",
      "step-start",
      "tool-read_conversation",
      "data-note",
      "reasoning",
      "text",
      "source-url",
      "source-document",
      "source-document",
    ],
  );
  assert.equal(kept.parts[2].state, "output-available");
  assert.deepEqual(kept.parts[3].data, { percent: 100 });
  assert.equal(kept.parts[6].errorText, "There is no such conversation.");
  assert.equal(kept.metadata.tokens_used, 14);
  assert.deepEqual(
    seen.map((part) => [part.type, part.data]),
    [
      ["data-status", { text: "searching" }],
      ["data-progress", { percent: 50 }],
      ["data-progress", { percent: 100 }],
      ["data-note", null],
    ],
  );
});

test("an answer that fails is an error that people can read, and what there is of it stays", async () => {
  const chat = await sent();
  await chat.sendMessage({ text: "failing" });
  assert.equal(chat.status, "error");
  assert.match(chat.error.message, /^The model could not answer\./);
  const kept = (await assertStored(chat)).at(-1);
  assert.equal(textOf(kept), "half an ");
  assert.equal(kept.metadata.status, "failed");
  chat.clearError();
  await chat.sendMessage({ text: "go on" });
  assert.equal(chat.error, undefined);
  await assertStored(chat);
});

test("what can't be answered is refused in words that people can read", async () => {
  const chat = await sent("one");
  await chat.sendMessage(); // as after a tool's result, or an approval
  assert.match(JSON.parse(chat.error.message).detail, /on the server/);
});

test("an answer of a megabyte comes and is stored whole", async () => {
  const chat = await sent("long");
  assert.ok(textOf(chat.messages[1]).length > 900_000);
  await assertStored(chat);
});

test("a page that is loaded in mid-stream goes on, on whichever worker", async () => {
  const chat = new Chat();
  const sending = chat.sendMessage({ text: "slow" });
  await until(() => chat.messages.length > 1 && textOf(chat.messages[1]).includes("3 "));
  const messages = await stored(chat.id);
  assert.equal(messages.at(-1).metadata.status, "streaming");
  const pages = Array.from({ length: 8 }, () => new Chat({ id: chat.id, messages }));
  await Promise.all([sending, ...pages.map((page) => page.resumeStream())]);
  for (const page of [chat, ...pages]) {
    assert.equal(page.error, undefined);
    assert.equal(page.status, "ready");
    await assertStored(page);
  }
  assert.equal(textOf(chat.messages[1]), Array.from({ length: 30 }, (_, n) => `${n} `).join(""));
  assert.equal(await transport().reconnectToStream({ chatId: chat.id }), null);
});

test("a chat that nobody knows has nothing to resume", async () => {
  const lost = new Chat({ id: "never/heard of" });
  await lost.resumeStream();
  assert.equal(JSON.parse(lost.error.message).status, 404);
});

test("a client that leaves stops nothing, and one that says so stops the answer", async () => {
  const left = new Chat();
  const leaving = left.sendMessage({ text: "slow" });
  await until(() => left.messages.length > 1);
  await left.stop();
  await leaving;
  const chat = new Chat();
  const sending = chat.sendMessage({ text: "endless" });
  await until(() => chat.messages.length > 1 && textOf(chat.messages[1]).includes("3 "));
  const stop = () => call(`/chat/${chat.id}/stop`, { method: "POST" });
  assert.equal((await (await stop()).json()).stopped, 1);
  await sending;
  assert.equal(chat.error, undefined);
  assert.equal(chat.status, "ready");
  assert.equal((await (await stop()).json()).stopped, 0);
  const kept = (await assertStored(chat)).at(-1);
  assert.equal(kept.metadata.status, "cancelled");
  assert.match(textOf(kept), /^0 1 2 3 /);
  await until(async () => (await stored(left.id)).at(-1).metadata.status === "complete");
});

test("files and data of a question are kept as they were sent, and metadata beside it", async () => {
  const chat = new Chat();
  const parts = [
    { type: "file", mediaType: "text/plain", filename: "a.txt", url: "data:text/plain,hello" },
    { type: "text", text: "What " },
    { type: "data-place", data: { id: 7 } },
    { type: "text", text: "is this?" },
  ];
  await chat.sendMessage({ parts, metadata: { theme: "dark" } });
  assert.equal(textOf(chat.messages[1]), "You said: What is this?");
  const kept = await assertStored(chat);
  assert.equal(kept[0].metadata.theme, "dark");
});

test("readUIMessageStream ends with the stored message, too", async () => {
  const chatId = freshId();
  const stream = await transport().sendMessages({
    chatId,
    messages: [question("one")],
    trigger: "submit-message",
  });
  let last;
  for await (const message of readUIMessageStream({ stream })) last = message;
  assert.deepEqual(asJson(last), (await stored(chatId)).at(-1));
});
