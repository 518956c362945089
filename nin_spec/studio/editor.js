// The editor's own script. The browser owns the text: it sends Python the whole text, with a version that every change
// increments, and each response of Python names the version that it belongs to. A response to an older text is dropped,
// so a slow server can't move the cursor or undo typing.
import * as CM from "nicegui-codemirror";

const RETRY_MS = 1000;
const channels = new WeakMap(); // by element: {view, key, version, received, sending}

async function post(channel, then = "") {
  const version = channel.version;
  const body = JSON.stringify({ key: channel.key, version, text: channel.view.state.doc.toString(), then });
  const headers = { "Content-Type": "application/json" };
  const response = await fetch("/studio/typed", { method: "POST", headers, body });
  if (!response.ok) throw new Error(`the studio responded with status ${response.status}`);
  channel.received = Math.max(channel.received, version);
}

// One request at a time, with the newest text: all that is typed while the server is busy goes into the next one.
async function send(channel) {
  if (channel.sending) return;
  channel.sending = true;
  try {
    while (channel.received < channel.version) await post(channel);
  } catch (error) {
    console.warn(error);
    setTimeout(() => send(channel), RETRY_MS);
  } finally {
    channel.sending = false;
  }
}

// An action on the current text: to save it, or to compare it with the file.
export async function act(element, then) {
  await post(channels.get(element), then);
}

export async function mark(element, version, decorations, tooltips) {
  if (channels.get(element)?.version !== version) return;
  element.setDecorations(decorations);
  element.setLineTooltips(tooltips);
}

export function guard(element, version, unsaved) {
  if (channels.get(element)?.version === version) keepOpen(unsaved);
}

function keepOpen(unsaved) {
  window.onbeforeunload = unsaved ? (event) => event.preventDefault() : null;
}

// Replace the text of that version; returns false, and changes nothing, if there is a newer one.
export function replace(element, version, text) {
  const channel = channels.get(element);
  if (channel.version !== version) return false;
  const old = channel.view.state.doc.toString();
  let from = 0;
  let [to, end] = [old.length, text.length];
  while (from < Math.min(to, end) && old[from] === text[from]) from++;
  while (to > from && end > from && old[to - 1] === text[end - 1]) [to, end] = [to - 1, end - 1];
  channel.view.dispatch({ changes: { from, to, insert: text.slice(from, end) } });
  return true;
}

async function request(what, state, at) {
  const text = state.doc.toString();
  const body = JSON.stringify({ before: text.slice(0, at), after: text.slice(at) });
  const response = await fetch(`/studio/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
  return response.ok ? response.json() : null;
}

async function complete(context) {
  const word = context.matchBefore(/[\w-]*/);
  const wanted = context.explicit || word.from < word.to || context.matchBefore(/:\s/);
  const options = wanted ? await request("complete", context.state, context.pos) : null;
  return options?.length ? { from: word.from, options, validFor: /^[\w-]*$/ } : null;
}

const explain = CM.hoverTooltip(async (view, pos) => {
  const word = view.state.wordAt(pos);
  const text = word && (await request("explain", view.state, word.from));
  if (!text) return null;
  const dom = document.createElement("div");
  dom.className = "nin-explain";
  dom.textContent = text;
  return { pos: word.from, end: word.to, above: true, create: () => ({ dom }) };
});

export async function attach(element, key) {
  const view = await element.editorPromise;
  element.emitting = false; // NiceGUI sends changes as events, which nothing here reads
  const channel = { view, key, version: 1, received: 0, sending: false };
  channels.set(element, channel);
  const source = CM.EditorState.languageData.of(() => [{ autocomplete: complete }]);
  const typed = CM.EditorView.updateListener.of((update) => {
    if (!update.docChanged) return;
    channel.version++;
    keepOpen(true);
    send(channel);
  });
  const name = CM.EditorView.contentAttributes.of({ "aria-label": "Spec, as YAML", tabindex: "0" });
  const save = CM.keymap.of([{ key: "Mod-s", run: () => (act(element, "save"), true), preventDefault: true }]);
  view.dispatch({ effects: CM.StateEffect.appendConfig.of([source, explain, typed, name, CM.Prec.highest(save)]) });
  await send(channel); // the user may have typed already
  view.dom.dataset.ready = "yes";
  view.focus();
}

export async function jump(element, line, column) {
  const view = await element.editorPromise;
  const there = view.state.doc.line(Math.min(line, view.state.doc.lines));
  const anchor = Math.min(there.from + column - 1, there.to);
  view.dispatch({ selection: { anchor }, effects: CM.EditorView.scrollIntoView(anchor, { y: "center" }) });
  view.focus();
}
