// All cases, and the form that makes a new one.

import { type CaseState, type CaseSummary, deleteCase, fileUrl, listCases, uploadCase } from "./api";
import { button, date, errorCard, freshId, h } from "./dom";
import type { Leave } from "./main";

const VIDEO = /\.(mp4|mov|m4v|webm|mkv|avi)$/i;
const WORDS: Record<CaseState, string> = {
  queued: "Waiting",
  running: "At work",
  interrupted: "Interrupted",
  ready: "Ready",
  done: "Done",
  failed: "Failed",
  refused: "Not usable",
  cancelled: "Cancelled",
  empty: "Empty",
  damaged: "Damaged",
};
const AT_WORK: CaseState[] = ["queued", "running", "interrupted"];
const LOOK_MS = 2000;

export async function showList(root: HTMLElement): Promise<Leave> {
  document.title = "Previsage";
  const cards = h("div", { class: "cases" });
  root.append(
    h("div", { class: "page list" },
      uploadForm(),
      h("section", { "aria-label": "Cases" }, h("h1", {}, "Cases"), cards)),
  );
  let timer = 0;
  let left = false;
  let drawn = "";
  const draw = async (): Promise<void> => {
    const cases = await listCases();
    if (left) return;
    const now = JSON.stringify(cases);
    if (now !== drawn) cards.replaceChildren(...(cases.length ? cases.map((c) => card(c, draw)) : [noCases()]));
    drawn = now;
    if (cases.some((c) => AT_WORK.includes(c.state))) timer = setTimeout(() => void draw().catch(() => {}), LOOK_MS);
  };
  await draw();
  return () => {
    left = true;
    clearTimeout(timer);
  };
}

const noCases = (): HTMLElement =>
  h("p", { class: "muted" }, "No cases yet. Upload a video of a slow head turn to make the first.");

function card(item: CaseSummary, redraw: () => Promise<void>): HTMLElement {
  const picture = item.thumbnail
    ? h("img", { src: fileUrl(item.id, "thumbnail.jpg"), alt: "", loading: "lazy" })
    : h("div", { class: "nopicture", "aria-hidden": "true" });
  const working = AT_WORK.includes(item.state) && item.job;
  const remove = button("Delete", () => void erase(item, redraw), "quiet", { "aria-label": `Delete ${item.label}` });
  return h("article", { class: "case", "data-case": item.id, "data-state": item.state },
    h("a", { href: `#/case/${item.id}`, class: "cover" },
      picture,
      h("div", { class: "caption" },
        h("strong", {}, item.label),
        h("span", { class: "muted" }, date(item.created)),
        h("span", { class: `pill ${item.state}` },
          working ? `${WORDS[item.state]} · ${Math.round(working.fraction * 100)} %` : WORDS[item.state]),
        item.plan_count ? h("span", { class: "muted" }, item.plan_count === 1 ? "1 plan" : `${item.plan_count} plans`) : null,
        item.error ? h("span", { class: "muted" }, item.error.message) : null)),
    working ? null : remove);
}

async function erase(item: CaseSummary, redraw: () => Promise<void>): Promise<void> {
  if (!confirm(`Delete “${item.label}” with its upload, its head and its plans? This cannot be undone.`)) return;
  await deleteCase(item.id).catch((error: unknown) => alert(String((error as Error).message)));
  await redraw();
}

function uploadForm(): HTMLElement {
  const label = h("input", { id: freshId(), type: "text", maxlength: 80, autocomplete: "off", placeholder: "e.g. A-017" });
  const ipd = h("input", { id: freshId(), type: "number", min: 40, max: 85, step: 0.1, inputmode: "decimal",
    placeholder: "from the iris" });
  const said = h("div", { "aria-live": "polite" });
  const zone = h("div", { class: "drop" });
  let busy = false;

  const send = async (files: File[]): Promise<void> => {
    const wrong = checked(files);
    if (busy) return;
    if (wrong || !ipd.checkValidity()) {
      said.replaceChildren(errorCard({ code: "choice", message: wrong ?? "The pupil distance must be 40 to 85 mm.",
        hint: wrong ? "Choose one video, or several photos of the same person." : "Leave it empty to measure by the iris." }));
      return;
    }
    busy = true;
    zone.classList.add("busy");
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
    said.replaceChildren(h("p", {}, `Uploading ${files.length === 1 ? files[0]!.name : `${files.length} photos`}…`), bar);
    const form = new FormData();
    if (label.value.trim()) form.append("label", label.value.trim());
    if (ipd.value) form.append("ipd_mm", ipd.value);
    files.forEach((file) => form.append("files", file, file.name));
    try {
      const made = await uploadCase(form, (share) => (bar.value = share));
      location.hash = `#/case/${made.id}`;
    } catch (error) {
      said.replaceChildren(errorCard(error));
    } finally {
      busy = false;
      zone.classList.remove("busy");
    }
  };

  zone.append(
    h("p", { class: "lead" }, "Drop a video or photos here"),
    h("div", { class: "row center" },
      picker("Choose files", "primary", { accept: "video/*,image/*,.heic,.heif", multiple: true, name: "files" }, send),
      picker("Film now", "camera", { accept: "video/*", capture: "user", name: "film" }, send)),
    h("p", { class: "muted" }, "MP4, MOV, WebM · JPEG, PNG, HEIC · up to 200 MB"));
  zone.addEventListener("dragover", (e) => {
    e.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (e) => {
    e.preventDefault();
    zone.classList.remove("over");
    void send([...(e.dataTransfer?.files ?? [])]);
  });

  return h("section", { class: "card upload", "aria-label": "New case" },
    h("h1", {}, "New case"),
    zone,
    said,
    h("div", { class: "fields" },
      h("label", { for: label.id }, h("span", {}, "Code ", h("small", {}, "(optional, not the name)")), label),
      h("label", { for: ipd.id }, h("span", {}, "Pupil distance, mm ", h("small", {}, "(optional)")), ipd)),
    h("details", { class: "hints" }, h("summary", {}, "How to film"),
      h("ul", {},
        h("li", {}, "Even light on the face; hair back; no glasses."),
        h("li", {}, "Phone upright at eye height, 40 to 60 cm away; the whole head in the picture."),
        h("li", {}, "Relaxed face, mouth closed. Turn slowly from one side to the other and back, about 10 seconds."),
        h("li", {}, "Or 3 to 10 photos: front, both three-quarter views, both profiles."))));
}

/** A file input that looks like a button and can be reached by keyboard. */
function picker(
  text: string, kind: string, attributes: Record<string, string | boolean>, send: (files: File[]) => Promise<void>,
): HTMLElement {
  const input = h("input", { id: freshId(), type: "file", class: "file", ...attributes });
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length) void send(files);
  });
  return h("span", { class: "picker" }, input, h("label", { for: input.id, class: `button ${kind}` }, text));
}

/** What is wrong with a choice of files, or null. The server decides; this only spares a vain upload. */
function checked(files: File[]): string | null {
  const videos = files.filter((f) => VIDEO.test(f.name) || f.type.startsWith("video/"));
  if (!files.length) return "Nothing was chosen.";
  if (videos.length && files.length > 1) return "One video, or photos only.";
  if (files.reduce((sum, f) => sum + f.size, 0) > 200e6) return "That is more than 200 MB.";
  return null;
}
