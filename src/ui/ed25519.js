/**
 * Ed25519 signatures (RFC 8032) and the two SHA-2 functions they need, for pages that browsers deny WebCrypto: plain
 * http to an address in the home network.
 *
 * Not constant in time; the key it serves lies in this browser's storage and signs one short text per connection.
 */

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/** @param {bigint} a @param {bigint} [m] */
const mod = (a, m = P) => ((a % m) + m) % m;

/** @param {bigint} base @param {bigint} e */
function power(base, e) {
  let out = 1n;
  for (base = mod(base); e > 0n; e >>= 1n) {
    if (e & 1n) out = mod(out * base);
    base = mod(base * base);
  }
  return out;
}

const D = mod(-121665n * power(121666n, P - 2n));
const I = power(2n, (P - 1n) / 4n);

/** @typedef {[bigint, bigint, bigint, bigint]} Point extended coordinates X, Y, Z, T */

/** @param {Point} a @param {Point} b @returns {Point} */
function add(a, b) {
  const A = mod((a[1] - a[0]) * (b[1] - b[0]));
  const B = mod((a[1] + a[0]) * (b[1] + b[0]));
  const C = mod(2n * a[3] * b[3] * D);
  const Z = mod(2n * a[2] * b[2]);
  const [E, F, G, H] = [B - A, Z - C, Z + C, B + A];
  return [mod(E * F), mod(G * H), mod(F * G), mod(E * H)];
}

/** @param {bigint} n @param {Point} p @returns {Point} */
function times(n, p) {
  /** @type {Point} */
  let out = [0n, 1n, 1n, 0n];
  for (; n > 0n; n >>= 1n) {
    if (n & 1n) out = add(out, p);
    p = add(p, p);
  }
  return out;
}

/** The base point: y = 4/5, the even x. @returns {Point} */
function base() {
  const y = mod(4n * power(5n, P - 2n));
  const x2 = mod((y * y - 1n) * power(D * y * y + 1n, P - 2n));
  let x = power(x2, (P + 3n) / 8n);
  if (mod(x * x - x2) !== 0n) x = mod(x * I);
  if (x & 1n) x = P - x;
  return [x, y, 1n, mod(x * y)];
}

const BASE = base();

/** @param {Uint8Array} bytes little endian */
function number(bytes) {
  let out = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) out = (out << 8n) | BigInt(bytes[i]);
  return out;
}

/** @param {bigint} n @returns {Uint8Array} 32 bytes, little endian */
function octets(n) {
  const out = new Uint8Array(32);
  for (let i = 0; i < 32; i++, n >>= 8n) out[i] = Number(n & 255n);
  return out;
}

/** @param {Point} p */
function encode(p) {
  const z = power(p[2], P - 2n);
  const [x, y] = [mod(p[0] * z), mod(p[1] * z)];
  return octets(y | ((x & 1n) << 255n));
}

/** @param {...Uint8Array} parts */
function joined(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** @param {Uint8Array} seed */
function expand(seed) {
  const hash = sha512(seed);
  const scalar = hash.slice(0, 32);
  scalar[0] &= 248;
  scalar[31] = (scalar[31] & 127) | 64;
  return { a: number(scalar), prefix: hash.slice(32) };
}

/** The public key of a 32-byte seed. @param {Uint8Array} seed */
export function publicKey(seed) {
  return encode(times(expand(seed).a, BASE));
}

/** @param {Uint8Array} seed @param {Uint8Array} message @returns {Uint8Array} 64 bytes */
export function sign(seed, message) {
  const { a, prefix } = expand(seed);
  const key = encode(times(a, BASE));
  const r = mod(number(sha512(joined(prefix, message))), L);
  const R = encode(times(r, BASE));
  const k = mod(number(sha512(joined(R, key, message))), L);
  return joined(R, octets(mod(r + k * a, L)));
}

/** The fractional parts of roots of the first primes: the constants of SHA-2. @param {number} bits */
function constants(bits) {
  const rounds = bits === 32 ? 64 : 80;
  /** @type {bigint[]} */
  const primes = [];
  for (let n = 2n; primes.length < rounds; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n);
  const fraction = (/** @type {bigint} */ prime, /** @type {bigint} */ degree) => {
    const wanted = prime << (BigInt(bits) * degree);
    let [low, high] = [0n, 1n << BigInt(bits + 10)];
    while (low < high) {
      const middle = (low + high + 1n) >> 1n;
      if (middle ** degree <= wanted) low = middle;
      else high = middle - 1n;
    }
    return low & ((1n << BigInt(bits)) - 1n);
  };
  return { k: primes.map((p) => fraction(p, 3n)), h: primes.slice(0, 8).map((p) => fraction(p, 2n)) };
}

/**
 * SHA-2 of either width; words are big integers, so both are one function.
 * @param {Uint8Array} data @param {number} bits
 * @param {number[]} r rotations: two of the schedule, two of the rounds, three each, the last of the first two a shift
 */
function sha2(data, bits, r) {
  const { k, h } = (tables[bits] ||= constants(bits));
  const [width, block, mask] = [bits / 8, bits * 2, (1n << BigInt(bits)) - 1n];
  const padded = new Uint8Array(Math.ceil((data.length + 1 + 2 * width) / block) * block);
  padded.set(data);
  padded[data.length] = 128;
  new DataView(padded.buffer).setUint32(padded.length - 4, data.length * 8);
  const turn = (/** @type {bigint} */ x, /** @type {number} */ n) =>
    ((x >> BigInt(n)) | (x << BigInt(bits - n))) & mask;
  const state = [...h];
  for (let at = 0; at < padded.length; at += block) {
    /** @type {bigint[]} */
    const w = [];
    for (let i = 0; i < k.length; i++) {
      if (i < 16) {
        w.push(number(padded.slice(at + i * width, at + (i + 1) * width).reverse()));
        continue;
      }
      const s0 = turn(w[i - 15], r[0]) ^ turn(w[i - 15], r[1]) ^ (w[i - 15] >> BigInt(r[2]));
      const s1 = turn(w[i - 2], r[3]) ^ turn(w[i - 2], r[4]) ^ (w[i - 2] >> BigInt(r[5]));
      w.push((w[i - 16] + s0 + w[i - 7] + s1) & mask);
    }
    let [a, b, c, d, e, f, g, hh] = state;
    for (let i = 0; i < k.length; i++) {
      const S1 = turn(e, r[9]) ^ turn(e, r[10]) ^ turn(e, r[11]);
      const t1 = (hh + S1 + ((e & f) ^ (~e & mask & g)) + k[i] + w[i]) & mask;
      const S0 = turn(a, r[6]) ^ turn(a, r[7]) ^ turn(a, r[8]);
      const t2 = (S0 + ((a & b) ^ (a & c) ^ (b & c))) & mask;
      [hh, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & mask, c, b, a, (t1 + t2) & mask];
    }
    [a, b, c, d, e, f, g, hh].forEach((word, i) => (state[i] = (state[i] + word) & mask));
  }
  const out = new Uint8Array(8 * width);
  state.forEach((word, i) => out.set(octets(word).slice(0, width).reverse(), i * width));
  return out;
}

/** @type {Record<number, {k: bigint[], h: bigint[]}>} */
const tables = {};

/** @param {Uint8Array} data */
export function sha256(data) {
  return sha2(data, 32, [7, 18, 3, 17, 19, 10, 2, 13, 22, 6, 11, 25]);
}

/** @param {Uint8Array} data */
export function sha512(data) {
  return sha2(data, 64, [1, 8, 7, 19, 61, 6, 28, 34, 39, 14, 18, 41]);
}
