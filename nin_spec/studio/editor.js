// What CodeMirror asks of Python: completions and explanations. The page's own script is no more than this.
import * as CM from "nicegui-codemirror";

async function ask(what, state, at) {
  const text = state.doc.toString();
  const body = JSON.stringify({ before: text.slice(0, at), after: text.slice(at) });
  const answer = await fetch(`/studio/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
  return answer.ok ? answer.json() : null;
}

async function complete(context) {
  const word = context.matchBefore(/[\w-]*/);
  const asked = context.explicit || word.from < word.to || context.matchBefore(/:\s/);
  const options = asked ? await ask("complete", context.state, context.pos) : null;
  return options?.length ? { from: word.from, options, validFor: /^[\w-]*$/ } : null;
}

const explain = CM.hoverTooltip(async (view, pos) => {
  const word = view.state.wordAt(pos);
  const text = word && (await ask("explain", view.state, word.from));
  if (!text) return null;
  const dom = document.createElement("div");
  dom.className = "nin-explain";
  dom.textContent = text;
  return { pos: word.from, end: word.to, above: true, create: () => ({ dom }) };
});

export async function attach(element) {
  const view = await element.editorPromise;
  const source = CM.EditorState.languageData.of(() => [{ autocomplete: complete }]);
  view.dispatch({ effects: CM.StateEffect.appendConfig.of([source, explain]) });
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

export function guard(unsaved) {
  window.onbeforeunload = unsaved ? (event) => event.preventDefault() : null;
}
