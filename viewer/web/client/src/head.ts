// The head as three.js objects: one surface before, one after, which share everything but shape.

import {
  BufferAttribute,
  BufferGeometry,
  DoubleSide,
  Mesh,
  MeshLambertMaterial,
  MeshStandardMaterial,
  SRGBColorSpace,
  Vector3,
} from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { certaintyMaterial } from "./certainty";

const CLAY = 0xcfc4bb;
const NECK_M = -0.145; // below this the neck and shoulders are not framed; the origin lies between the eyes

/** How the surface is shown: the skin's picture, bare form, or how sure the shape is. */
export type Look = "skin" | "clay" | "certainty";

/** One morph target: the vertices it moves and how far, in metres. */
interface Morph {
  rows: Uint32Array;
  deltas: Float32Array;
}

export class Head {
  readonly before: Mesh;
  readonly after: Mesh;
  readonly names: string[];
  readonly center = new Vector3();
  readonly radius: number;
  /** Whether the file says how sure the shape is; the distance (mm) that holds 95 % of the seen skin, if any was. */
  readonly certain: boolean;
  readonly within: number | null;
  private readonly materials: Record<Look, (MeshLambertMaterial | MeshStandardMaterial)[]>;
  private readonly base: Float32Array;
  private readonly index: ArrayLike<number>;
  private readonly morphs: Morph[];
  private readonly twin: Uint32Array;
  private readonly still: { stored: Float32Array; computed: Float32Array };

  private constructor(loaded: Mesh, ratio: number) {
    const geometry = loaded.geometry;
    const found = loaded.material as MeshStandardMaterial;
    this.names = Object.entries(loaded.morphTargetDictionary ?? {})
      .sort((a, b) => a[1] - b[1])
      .map(([name]) => name);
    this.base = geometry.attributes.position!.array as Float32Array;
    this.index = geometry.index!.array;
    this.morphs = (geometry.morphAttributes.position ?? []).map((a) => sparse(a as BufferAttribute));
    this.twin = twins(this.base);
    if (found.map) found.map.colorSpace = SRGBColorSpace;
    this.certain = "_uncertainty_mm" in geometry.attributes && "_seen" in geometry.attributes;
    this.within = typeof loaded.userData.within95_mm === "number" ? loaded.userData.within95_mm : null;
    this.materials = {
      skin: [0, 1].map(() => new MeshLambertMaterial({ map: found.map, side: DoubleSide })),
      clay: [0, 1].map(() => new MeshStandardMaterial({ color: CLAY, roughness: 0.62, side: DoubleSide })),
      certainty: [0, 1].map(() => certaintyMaterial(ratio)),
    };
    this.before = new Mesh(shared(geometry, false), this.materials.skin[0]);
    this.after = new Mesh(shared(geometry, true), this.materials.skin[1]); // its morphTargetInfluences are its own
    this.radius = portrait(this.base, this.center);
    this.still = { stored: geometry.attributes.normal!.array as Float32Array, computed: this.normals(this.base) };
  }

  /** Read a GLB; `ratio` device px per CSS px. */
  static async load(url: string, ratio: number): Promise<Head> {
    const gltf = await new GLTFLoader().loadAsync(url);
    let found: Mesh | undefined;
    gltf.scene.traverse((o) => (found ??= o instanceof Mesh ? o : undefined));
    if (!found) throw new Error("the file holds no head");
    return new Head(found, ratio);
  }

  /** Whether the picture of the skin is there. */
  get textured(): boolean {
    return this.materials.skin[0]!.map !== null;
  }

  setLook(look: Look): void {
    [this.before.material, this.after.material] = this.materials[look] as [MeshLambertMaterial, MeshLambertMaterial];
  }

  /** Weights of all morphs, 1 for the value the plan asked; the light follows the new shape. */
  setWeights(weights: readonly number[]): void {
    if (!this.morphs.length) return;
    this.after.morphTargetInfluences!.splice(0, weights.length, ...weights);
    this.shade(weights);
  }

  /** Centre and size of what the plan moves by more than a fifth of a millimetre, or null. */
  changed(): { center: Vector3; radius: number } | null {
    const low = new Vector3(Infinity, Infinity, Infinity);
    const high = low.clone().negate();
    const point = new Vector3();
    for (const { rows, deltas } of this.morphs) {
      rows.forEach((row, k) => {
        if (Math.hypot(deltas[3 * k]!, deltas[3 * k + 1]!, deltas[3 * k + 2]!) < 2e-4) return;
        low.min(point.fromArray(this.base, 3 * row));
        high.max(point);
      });
    }
    if (low.x > high.x) return null;
    return { center: low.clone().add(high).multiplyScalar(0.5), radius: low.distanceTo(high) / 2 };
  }

  dispose(): void {
    this.materials.skin[0]!.map?.dispose();
    Object.values(this.materials).flat().forEach((m) => m.dispose());
    this.before.geometry.dispose();
    this.after.geometry.dispose();
  }

  /** Light for the morphed surface: morph targets carry positions only. What does not move keeps its stored normal. */
  private shade(weights: readonly number[]): void {
    const at = this.base.slice();
    this.morphs.forEach(({ rows, deltas }, m) => {
      const w = weights[m] ?? 0;
      if (w) rows.forEach((row, k) => {
        for (let c = 0; c < 3; c++) at[3 * row + c]! += w * deltas[3 * k + c]!;
      });
    });
    const now = this.normals(at);
    const { stored, computed } = this.still;
    const normal = this.after.geometry.attributes.normal as BufferAttribute;
    const out = normal.array as Float32Array;
    for (let k = 0; k < out.length; k++) out[k] = stored[k]! + (now[k]! - computed[k]!);
    normal.needsUpdate = true;
  }

  /** Area-weighted unit normals; the vertices on the two sides of a texture seam are one. */
  private normals(at: Float32Array): Float32Array {
    const sums = new Float32Array(at.length);
    const { index, twin } = this;
    for (let f = 0; f < index.length; f += 3) {
      const [i, j, k] = [3 * index[f]!, 3 * index[f + 1]!, 3 * index[f + 2]!];
      const [ux, uy, uz] = [at[j]! - at[i]!, at[j + 1]! - at[i + 1]!, at[j + 2]! - at[i + 2]!];
      const [vx, vy, vz] = [at[k]! - at[i]!, at[k + 1]! - at[i + 1]!, at[k + 2]! - at[i + 2]!];
      const [nx, ny, nz] = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
      for (const corner of [index[f]!, index[f + 1]!, index[f + 2]!]) {
        const t = 3 * twin[corner]!;
        sums[t]! += nx;
        sums[t + 1]! += ny;
        sums[t + 2]! += nz;
      }
    }
    const out = new Float32Array(at.length);
    for (let v = 0; v < twin.length; v++) {
      const t = 3 * twin[v]!;
      const length = Math.hypot(sums[t]!, sums[t + 1]!, sums[t + 2]!) || 1;
      for (let c = 0; c < 3; c++) out[3 * v + c] = sums[t + c]! / length;
    }
    return out;
  }
}

/** A geometry over the same arrays; the morphing one has its own normals. */
function shared(geometry: BufferGeometry, morphing: boolean): BufferGeometry {
  const out = new BufferGeometry();
  for (const [name, attribute] of Object.entries(geometry.attributes)) out.setAttribute(name, attribute);
  out.setIndex(geometry.index);
  if (!morphing) return out;
  const normal = geometry.attributes.normal as BufferAttribute;
  out.setAttribute("normal", new BufferAttribute(new Float32Array(normal.array), 3));
  out.morphAttributes = { position: geometry.morphAttributes.position ?? [] };
  if (!out.morphAttributes.position!.length) out.morphAttributes = {};
  out.morphTargetsRelative = true;
  return out;
}

/** Centre and radius of the head without neck and shoulders, as a portrait frames it. */
function portrait(positions: Float32Array, center: Vector3): number {
  const low = new Vector3(Infinity, Infinity, Infinity);
  const high = low.clone().negate();
  const point = new Vector3();
  for (let k = 0; k < positions.length; k += 3) {
    if (positions[k + 1]! < NECK_M) continue;
    low.min(point.fromArray(positions, k));
    high.max(point);
  }
  center.copy(low).add(high).multiplyScalar(0.5);
  return high.y - low.y > 0 ? Math.max(high.y - low.y, high.z - low.z) / 2 : 0.15;
}

function sparse(attribute: BufferAttribute): Morph {
  const all = attribute.array;
  const rows: number[] = [];
  for (let v = 0; v < attribute.count; v++) if (all[3 * v] || all[3 * v + 1] || all[3 * v + 2]) rows.push(v);
  return { rows: Uint32Array.from(rows), deltas: Float32Array.from(rows.flatMap((v) => [...all.slice(3 * v, 3 * v + 3)])) };
}

/** For every vertex the first one at the same place: the two sides of a texture seam are one point of the skin. */
function twins(positions: Float32Array): Uint32Array {
  const first = new Map<string, number>();
  const out = new Uint32Array(positions.length / 3);
  for (let v = 0; v < out.length; v++) {
    const key = `${positions[3 * v]},${positions[3 * v + 1]},${positions[3 * v + 2]}`;
    out[v] = first.get(key) ?? v;
    if (out[v] === v) first.set(key, v);
  }
  return out;
}
