// A canvas on which a head is turned and compared. Draws only when something changed.

import { AmbientLight, Color, DirectionalLight, PerspectiveCamera, Scene, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { drawLegend, LEGEND_LINES } from "./certainty";
import { Head, type Look } from "./head";

export type Mode = "after" | "before" | "split" | "side";

const FIELD_OF_VIEW_DEG = 20; // a long lens: what a portrait photographer would use, so that the nose keeps its size
const MARGIN = 1.12;
const PIXEL_RATIO_CAP = 2;
const TURN_RAD = Math.PI / 36;
const BACKGROUND = 0xe9eef0;
/** Light from everywhere and from the key. A picture of skin has light in it already; clay lives from light and shade
 * alone; colours that mean something keep their value, with just enough shade to see the form. */
const LIGHT: Record<Look, [number, number]> = { skin: [0.8, 0.3], clay: [0.32, 0.72], certainty: [0.66, 0.34] };

/** Where the camera stands, seen from the head: x the patient's left, y up, z in front. Angles of clinical photographs. */
export const VIEWS: Record<string, { label: string; from: [number, number, number] }> = {
  front: { label: "Front", from: [0, 0, 1] },
  oblique_right: { label: "Oblique R", from: [-Math.SQRT1_2, 0, Math.SQRT1_2] },
  oblique_left: { label: "Oblique L", from: [Math.SQRT1_2, 0, Math.SQRT1_2] },
  profile_right: { label: "Profile R", from: [-1, 0, 0] },
  profile_left: { label: "Profile L", from: [1, 0, 0] },
  basal: { label: "Basal", from: [0, -0.85, 0.53] },
};

export function hasWebGL(): boolean {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

export class HeadScene {
  mode: Mode = "after";
  split = 0.5;
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(FIELD_OF_VIEW_DEG, 1, 0.05, 10);
  private readonly controls: OrbitControls;
  private readonly ambient = new AmbientLight(0xffffff, 1);
  private readonly key = new DirectionalLight(0xffffff, 1);
  private readonly observer: ResizeObserver;
  private head: Head | null = null;
  private asked = 0;
  private frames = 0;
  private shown: Look = "skin";

  constructor(readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true });
    this.renderer.autoClear = false;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, PIXEL_RATIO_CAP));
    this.scene.background = new Color(BACKGROUND);
    this.key.position.set(-0.5, 0.8, 1);
    this.camera.add(this.key); // the light comes from the viewer's upper left in every view, as in a studio series
    this.scene.add(this.camera, this.ambient);
    this.setLook("skin");
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = false;
    this.controls.addEventListener("change", () => this.draw());
    canvas.addEventListener("keydown", (e) => this.turn(e));
    canvas.addEventListener("webglcontextlost", (e) => e.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.draw());
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(canvas);
    this.resize();
  }

  /** Show another head from the same side; the first one from the front. */
  async load(url: string): Promise<Head> {
    const head = await Head.load(url, this.renderer.getPixelRatio());
    const first = this.head === null;
    if (this.head) {
      this.scene.remove(this.head.before, this.head.after);
      this.head.dispose();
    }
    this.head = head;
    if (!head.certain && this.shown === "certainty") this.setLook("skin");
    head.setLook(this.shown);
    this.scene.add(head.before, head.after);
    if (first) this.look("front");
    this.canvas.dataset.textured = String(head.textured);
    this.render();
    this.canvas.dataset.ready = url;
    return head;
  }

  setWeights(weights: readonly number[]): void {
    this.head?.setWeights(weights);
    this.draw();
  }

  setMode(mode: Mode): void {
    this.mode = mode;
    this.fitAspect();
    this.draw();
  }

  setSplit(share: number): void {
    this.split = Math.min(1, Math.max(0, share));
    this.draw();
  }

  /** How the head is shown. */
  setLook(look: Look): void {
    this.shown = look;
    this.ambient.intensity = Math.PI * LIGHT[look][0];
    this.key.intensity = Math.PI * LIGHT[look][1];
    this.head?.setLook(look);
    this.draw();
  }

  get surface(): Look {
    return this.shown;
  }

  /** A standard view of the whole head. */
  look(name: string): void {
    const view = VIEWS[name];
    if (!view || !this.head) return;
    this.controls.target.copy(this.head.center);
    this.place(new Vector3(...view.from), this.distance(this.head.radius));
  }

  /** Come close to what the plan changes, from the side the camera is on. */
  approach(): boolean {
    const part = this.head?.changed();
    if (!part) return false;
    const from = this.camera.position.clone().sub(this.controls.target).normalize();
    this.controls.target.copy(part.center);
    this.place(from, this.distance(part.radius * 1.5));
    return true;
  }

  /** The picture as it is, with the mark that every export carries. */
  async picture(caption: string): Promise<Blob> {
    this.render(); // the browser may drop the drawing once this task ends, so it is copied at once
    const { width, height } = this.canvas;
    const foot = Math.round(Math.max(28, height * 0.045));
    const letters = Math.round(foot * 0.46);
    const legend = this.shown === "certainty" && this.head ? letters * LEGEND_LINES : 0;
    const out = document.createElement("canvas");
    out.width = width;
    out.height = height + legend + foot;
    const pen = out.getContext("2d")!;
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, out.width, out.height);
    pen.drawImage(this.canvas, 0, 0);
    if (legend) drawLegend(pen, foot * 0.4, height + letters / 2, letters, this.head!.within);
    pen.fillStyle = "#1c2b33";
    pen.textBaseline = "middle";
    pen.font = `${letters}px system-ui, sans-serif`;
    pen.fillText(caption, foot * 0.4, height + legend + foot / 2, width - foot * 0.8);
    return new Promise((resolve, reject) =>
      out.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png"));
  }

  dispose(): void {
    cancelAnimationFrame(this.asked);
    this.observer.disconnect();
    this.controls.dispose();
    this.head?.dispose();
    this.renderer.dispose();
  }

  /** Draw with the next frame. */
  private draw(): void {
    this.asked ||= requestAnimationFrame(() => this.render());
  }

  private render(): void {
    cancelAnimationFrame(this.asked);
    this.asked = 0;
    if (!this.head) return;
    const { clientWidth: w, clientHeight: height } = this.canvas;
    const cut = Math.round(w * (this.mode === "side" ? 0.5 : this.split));
    this.renderer.setScissorTest(false);
    this.renderer.clear();
    if (this.mode === "split" || this.mode === "side") {
      this.renderer.setScissorTest(true);
      this.half("before", 0, cut, w, height);
      this.half("after", cut, w - cut, w, height);
    } else {
      this.renderer.setViewport(0, 0, w, height);
      this.show(this.mode);
    }
    this.canvas.dataset.frames = String(++this.frames);
  }

  /** One side of the comparison: `split` cuts one picture in two, `side` gives each its own camera centre. */
  private half(which: "before" | "after", left: number, width: number, whole: number, height: number): void {
    if (width <= 0) return;
    this.renderer.setScissor(left, 0, width, height);
    if (this.mode === "side") this.renderer.setViewport(left, 0, width, height);
    else this.renderer.setViewport(0, 0, whole, height);
    this.show(which);
  }

  private show(which: "before" | "after"): void {
    this.head!.before.visible = which === "before";
    this.head!.after.visible = which === "after";
    this.renderer.render(this.scene, this.camera);
  }

  private resize(): void {
    const { clientWidth: w, clientHeight: height } = this.canvas;
    if (!w || !height) return;
    this.renderer.setSize(w, height, false);
    this.fitAspect();
    this.render();
  }

  private fitAspect(): void {
    const { clientWidth: w, clientHeight: height } = this.canvas;
    this.camera.aspect = (this.mode === "side" ? w / 2 : w) / Math.max(height, 1);
    // A narrow picture keeps the width of the head in view instead of its height.
    const half = Math.tan((FIELD_OF_VIEW_DEG * Math.PI) / 360) / Math.min(1, this.camera.aspect * 1.12);
    this.camera.fov = (Math.atan(half) * 360) / Math.PI;
    this.camera.updateProjectionMatrix();
  }

  private distance(radius: number): number {
    return (MARGIN * radius) / Math.sin((FIELD_OF_VIEW_DEG * Math.PI) / 360);
  }

  private place(from: Vector3, distance: number): void {
    this.camera.position.copy(this.controls.target).addScaledVector(from.normalize(), distance);
    this.controls.minDistance = 0.15;
    this.controls.maxDistance = 4;
    this.controls.update();
    this.draw();
  }

  private turn(event: KeyboardEvent): void {
    const steps: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const arm = this.camera.position.clone().sub(this.controls.target);
    arm.applyAxisAngle(new Vector3(0, 1, 0), step[0] * TURN_RAD);
    const side = new Vector3(0, 1, 0).cross(arm).normalize();
    const tilted = arm.clone().applyAxisAngle(side, step[1] * TURN_RAD);
    if (Math.abs(tilted.y) < tilted.length() * 0.99) arm.copy(tilted);
    this.place(arm, arm.length());
  }
}
