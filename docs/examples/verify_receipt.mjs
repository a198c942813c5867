// Verifies one receipt of the log offline. Written from docs/formats.md alone; "section 5" below is its section 5.
//
//     node verify_receipt.mjs RECEIPT.tlog-proof VERIFIER_KEY
//
// Prints the verdict as JSON and exits 0. Exits 1 with one line on stderr when the receipt fails, and 2 when there was
// nothing to judge: wrong arguments, a file that cannot be read, a text that is no verifier key.
//
// Rule that must not break: what verifies returns what it verified, or throws. There is no boolean that a caller could
// forget to look at, and nothing of the receipt is printed unless all of it passed.
//
// Node 18 or newer, no packages. Indexes, sizes and times are BigInt: they go up to 2^63, a Number is exact to 2^53.

import { createHash, createPublicKey, verify as verifySignature } from 'node:crypto';
import { readFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The evidence was refused. */
export class Refused extends Error {}

function check(condition, reason) {
  if (!condition) throw new Refused(reason);
}

// Notation (section 1)

const MAX_DECIMAL = 2n ** 63n - 1n;
const HASH_SIZE = 32;

function sha256(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Canonical base64: Node's decoder forgives a lot, so the text must be what encoding again gives. */
function parseBase64(text, what) {
  const bytes = Buffer.from(text, 'base64');
  check(bytes.toString('base64') === text, `${what} is not canonical base64`);
  return bytes;
}

function parseHash(text, what) {
  const bytes = parseBase64(text, what);
  check(bytes.length === HASH_SIZE, `${what} is not ${HASH_SIZE} bytes long`);
  return bytes;
}

function parseDecimal(text, what) {
  // The bound on digits keeps BigInt() from working on a number of a million digits.
  check(/^(0|[1-9][0-9]{0,18})$/.test(text), `${what} is not a decimal number`);
  const value = BigInt(text);
  check(value <= MAX_DECIMAL, `${what} is 2^63 or more`);
  return value;
}

/** Strict UTF-8. Without ignoreBOM the decoder would drop a leading U+FEFF, and two byte strings would be one text. */
function parseUtf8(bytes, what) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused(`${what} is not UTF-8`);
  }
}

/** Reads bytes from first to last; whoever is done says so with end(), so that no byte stays unread. */
class Reader {
  constructor(bytes, what) {
    this.bytes = bytes;
    this.what = what;
    this.offset = 0;
  }

  get atEnd() {
    return this.offset === this.bytes.length;
  }

  take(count) {
    check(count <= this.bytes.length - this.offset, `${this.what} is cut off`);
    this.offset += count;
    return this.bytes.subarray(this.offset - count, this.offset);
  }

  varint() {
    let value = 0n;
    for (let position = 0; position < 10; position += 1) {
      const [byte] = this.take(1);
      value |= BigInt(byte & 0x7f) << BigInt(7 * position);
      if (byte < 0x80) {
        check(byte !== 0 || position === 0, `${this.what} has a varint that is not minimal`);
        check(value < 1n << 64n, `${this.what} has a varint above 64 bits`);
        return value;
      }
    }
    throw new Refused(`${this.what} has a varint of more than 10 bytes`);
  }

  fixed64() {
    return this.take(8).readBigUInt64LE();
  }

  delimited() {
    // A length that a Number does not hold exactly is beyond the end all the same.
    return this.take(Number(this.varint()));
  }

  /** The bytes that stand here in every accepted encoding, a tag for example. */
  expect(...expected) {
    const found = this.take(expected.length);
    check(found.equals(Buffer.from(expected)), `${this.what} has other bytes at ${this.offset - expected.length}`);
  }

  /** Whether the next byte is this one; for optional fields, whose tag is one byte. */
  startsWith(byte) {
    return !this.atEnd && this.bytes[this.offset] === byte;
  }

  end() {
    check(this.atEnd, `${this.what} has bytes left over`);
  }
}

// Sections (section 3)

// Name and type of the fields in the order of their numbers, which begin at 1 and have no gaps; `!` required, `*`
// repeated. A type with a small letter is a scalar; the others are in ENUMS or are messages of this table.
const TABLES = {
  Event: `schema Schema!, event_id string, action string, occurred_at fixed64, actor Actor, targets Target*,
    outcome Outcome, reason_code string, auth Authentication, request Request, change Change,
    field_changes FieldChange*, data DataContext, metadata MetadataEntry*, source Source, tenant_id string,
    correlation_id string`,
  PersonalData: `schema Schema!, actor_email string, actor_name string, ip string, peer_ip string, user_agent string,
    description string, reason string, target_names string*, field_changes FieldChange*, metadata MetadataEntry*,
    original Original`,
  Actor: 'type ActorType, id string, on_behalf_of string, roles string*',
  Target: 'type string, id string',
  Authentication: 'method AuthMethod, mfa Truth, credential_id string, session_id string, identity_provider string',
  Request: 'request_id string, trace_id bytes, span_id bytes, method string, route string',
  Change: `approval_reference string, approval_event_id string, approvers string*, requested_by string,
    commit string, ticket string, version string, emergency Truth`,
  FieldChange: 'path string!, old Value, new Value',
  DataContext: 'classification DataClassification, record_count fixed64, byte_count fixed64, destination string',
  MetadataEntry: 'key string!, value Value!',
  Source: 'service string, instance string, version string, sdk string, boot_id bytes, sequence fixed64',
  Value: 'text string, integer sfixed64, number double, truth Truth',
  Original: 'media_type string, content bytes, sha256 bytes, size fixed64',
};

const MESSAGES = Object.fromEntries(
  Object.entries(TABLES).map(([message, table]) => {
    const fields = Array.from(table.matchAll(/(\w+)\s+(\w+)([!*]?)(?:,|$)/g), ([, name, type, mark], position) => {
      return [BigInt(position + 1), { name, type, required: mark === '!', repeated: mark === '*' }];
    });
    return [message, new Map(fields)];
  }),
);

// Messages of which exactly one field is there, and that one may be its default.
const ONEOFS = new Set(['Value']);

// The value 1 stands first. Truth becomes a JSON boolean: the text "false" would count as true.
const ENUMS = {
  Schema: [1],
  Truth: [true, false],
  ActorType: ['user', 'service', 'api_key', 'system', 'anonymous', 'unknown'],
  Outcome: ['success', 'failure', 'denied', 'error', 'pending'],
  AuthMethod: ['password', 'mfa_totp', 'mfa_push', 'passkey', 'sso_saml', 'sso_oidc', 'oauth', 'api_key', 'mtls',
    'session', 'recovery', 'none'],
  DataClassification: ['public', 'internal', 'confidential', 'personal', 'restricted'],
};

const VARINT = 0;
const EIGHT_BYTES = 1;
const DELIMITED = 2;
const FOUR_BYTES = 5;
const WIRE_TYPES = { fixed64: EIGHT_BYTES, sfixed64: EIGHT_BYTES, double: EIGHT_BYTES };

function wireTypeOf(type) {
  return type in ENUMS ? VARINT : (WIRE_TYPES[type] ?? DELIMITED);
}

const SECTIONS = {
  event: { message: 'Event', tag: 1, maxBytes: 32768 },
  personal: { message: 'PersonalData', tag: 2, maxBytes: 61440 },
};

/** Rules 5, 7 and 11 and the loop over the fields; rules 1 to 4 are in here and in the reader. */
function readMessage(bytes, type, what) {
  const table = MESSAGES[type];
  const reader = new Reader(bytes, what);
  const message = {};
  while (!reader.atEnd) {
    const tag = reader.varint();
    const field = table.get(tag >> 3n);
    check(field !== undefined, `${what} has an unknown field ${tag >> 3n}`);
    const { name, repeated } = field;
    const path = `${what}, ${name}`;
    check(Number(tag & 7n) === wireTypeOf(field.type), `${path}: wrong wire type`);
    // The default of a repeated field or of a branch of a oneof says something: that it is there.
    const value = readValue(reader, field.type, repeated || ONEOFS.has(type), path);
    if (repeated) {
      (message[name] ??= []).push(value);
    } else {
      check(!Object.hasOwn(message, name), `${path} occurs twice`);
      message[name] = value;
    }
  }
  for (const { name, required } of table.values()) {
    check(!required || Object.hasOwn(message, name), `${what}, ${name} is missing`);
  }
  check(!ONEOFS.has(type) || Object.keys(message).length === 1, `${what} has not exactly one branch`);
  return message;
}

/** Rules 6, 8, 9 and 10: the content of one field. Bytes become hex, enums their names. */
function readValue(reader, type, mayBeDefault, path) {
  if (type in ENUMS) {
    const number = reader.varint();
    check(number >= 1n && number <= BigInt(ENUMS[type].length), `${path}: no such value`);
    return ENUMS[type][Number(number) - 1];
  }
  switch (type) {
    case 'fixed64':
    case 'sfixed64': {
      const number = reader.fixed64();
      check(mayBeDefault || number !== 0n, `${path}: a default is written`);
      return type === 'fixed64' ? number : BigInt.asIntN(64, number);
    }
    case 'double': {
      // Only Value has one, where 0 is a value like any other.
      const number = reader.take(8).readDoubleLE();
      check(Number.isFinite(number), `${path}: not finite`);
      return number;
    }
    case 'string':
    case 'bytes': {
      const content = reader.delimited();
      check(mayBeDefault || content.length > 0, `${path}: a default is written`);
      return type === 'string' ? parseUtf8(content, path) : content.toString('hex');
    }
    default:
      return readMessage(reader.delimited(), type, path);
  }
}

/** Whether a section that was refused is of a newer schema, as far as one can tell without its table. */
function isOfNewerSchema(bytes, what) {
  const reader = new Reader(bytes, what);
  let schema = 0n;
  try {
    while (!reader.atEnd) {
      const tag = reader.varint();
      const wireType = Number(tag & 7n);
      if (wireType === VARINT) {
        const value = reader.varint();
        if (tag >> 3n === 1n) schema = value;
      } else if (wireType === DELIMITED) {
        reader.delimited();
      } else {
        check(wireType === EIGHT_BYTES || wireType === FOUR_BYTES, `${what} has an unknown wire type`);
        reader.take(wireType === EIGHT_BYTES ? 8 : 4);
      }
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return false;
  }
  return schema >= 2n && schema <= 127n;
}

/**
 * The content of a section, or null if it is of a newer schema.
 * @param {Buffer} bytes
 * @param {'event' | 'personal'} kind
 * @throws {Refused}
 */
export function readSection(bytes, kind) {
  const what = `${kind} section`;
  check(bytes.length <= SECTIONS[kind].maxBytes, `${what} is too large`);
  try {
    return readMessage(bytes, SECTIONS[kind].message, what);
  } catch (error) {
    if (error instanceof Refused && isOfNewerSchema(bytes, what)) return null;
    throw error;
  }
}

/** Section 4. */
function commit(kind, salt, section) {
  return sha256('logproof/commit/v1\0', Buffer.of(SECTIONS[kind].tag), salt, section);
}

// The leaf (section 5)

const TAG_LEAF_PERSONAL = 0x3a;
const TAG_LEAF_COSIGNED = 0x42;

/** Reads a leaf in its only encoding: the tags are not looked up but expected, one after the other. */
export function parseLeaf(bytes) {
  const reader = new Reader(bytes, 'leaf');
  const notZero = (value, what) => {
    check(typeof value === 'bigint' ? value !== 0n : value.some((byte) => byte !== 0), `leaf: ${what} is zero`);
    return value;
  };
  const field = (tag, size, what) => {
    reader.expect(tag, size);
    return notZero(reader.take(size), what);
  };
  const leaf = { personal: null, cosigned: null };
  reader.expect(0x08, 0x01);
  reader.expect(0x11);
  leaf.recordedAt = notZero(reader.fixed64(), 'recorded_at');
  leaf.principal = field(0x1a, 16, 'principal');
  reader.expect(0x20);
  leaf.catalogue = notZero(reader.varint(), 'catalogue version');
  check(leaf.catalogue < 2n ** 32n, 'leaf: catalogue version is 2^32 or more');
  leaf.previous = field(0x2a, HASH_SIZE, 'previous');
  leaf.event = field(0x32, HASH_SIZE, 'event commitment');
  if (reader.startsWith(TAG_LEAF_PERSONAL)) leaf.personal = field(TAG_LEAF_PERSONAL, HASH_SIZE, 'personal commitment');
  if (reader.startsWith(TAG_LEAF_COSIGNED)) {
    reader.expect(TAG_LEAF_COSIGNED);
    const length = reader.varint();
    const begin = reader.offset;
    reader.expect(0x08);
    const size = notZero(reader.varint(), 'size of the cosigned head');
    check(size <= MAX_DECIMAL, 'leaf: size of the cosigned head is 2^63 or more');
    const root = field(0x12, HASH_SIZE, 'root of the cosigned head');
    reader.expect(0x19);
    const time = notZero(reader.fixed64(), 'time of the cosignature');
    check(length === BigInt(reader.offset - begin), 'leaf: the cosigned head has another length');
    leaf.cosigned = { size, root, time };
  }
  reader.end();
  return leaf;
}

// Inclusion (sections 2 and 6.1)

const EMPTY_ROOT = sha256('');

function hashLeaf(leaf) {
  return sha256(Buffer.of(0), leaf);
}

function hashNode(left, right) {
  return sha256(Buffer.of(1), left, right);
}

/** Throws unless the hashes lead from the leaf hash at the index to the root of a tree of that size. */
export function verifyInclusion(leafHash, index, size, root, hashes) {
  for (const hash of [leafHash, root, ...hashes]) check(hash.length === HASH_SIZE, 'a hash is not 32 bytes long');
  check(index >= 0n && index < size && size <= MAX_DECIMAL, 'the index is not in the tree');
  let [position, last, computed] = [index, size - 1n, leafHash];
  for (const sibling of hashes) {
    check(last > 0n, 'the inclusion proof has too many hashes');
    if (position & 1n || position === last) {
      computed = hashNode(sibling, computed);
      // A last node without a sibling is its own parent: climb to where it has one.
      while (position !== 0n && !(position & 1n)) [position, last] = [position >> 1n, last >> 1n];
    } else {
      computed = hashNode(computed, sibling);
    }
    [position, last] = [position >> 1n, last >> 1n];
  }
  check(last === 0n, 'the inclusion proof has too few hashes');
  check(computed.equals(root), 'the inclusion proof leads to another root');
}

// Keys and signed notes (section 7)

const TYPE_LOG_KEY = 1;
const KEY_ID_SIZE = 4;
const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;

/** White space is the property of Unicode: \s has U+FEFF too much and U+0085 too little. */
function checkName(name, what) {
  check(name !== '' && !/[\p{White_Space}+\u0000-\u001f]/u.test(name), `${what} has no proper name`);
}

/** The verifier key of a log. A witness's key, type 04, cannot vouch for a checkpoint and is refused. */
export function parseVerifierKey(text) {
  // Not split('+', 3), which drops what comes after: base64 has plus signs of its own.
  const [, name, statedId, encoded] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/su.exec(text) ?? [];
  check(name !== undefined, 'the verifier key is not NAME+ID+KEY');
  checkName(name, 'the verifier key');
  const key = parseBase64(encoded, 'the verifier key');
  check(key.length === 33 && key[0] === TYPE_LOG_KEY, "the verifier key is not a log's Ed25519 key");
  const id = sha256(name, '\n', key).subarray(0, KEY_ID_SIZE);
  check(id.toString('hex') === statedId, 'the verifier key has an id that does not follow from it');
  const x = key.subarray(1).toString('base64url');
  return { name, id, publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
}

/** The text of a signed note, verified under one key. */
export function openNote(bytes, key) {
  check(bytes.length <= MAX_NOTE_BYTES, 'the note is too large');
  check(!/[\u0000-\u0009\u000b-\u001f]/.test(parseUtf8(bytes, 'the note')), 'the note has a control character');
  const split = bytes.lastIndexOf('\n\n');
  check(split >= 0, 'the note has no signatures');
  const signed = bytes.subarray(0, split + 1);
  const lines = bytes.subarray(split + 2).toString().split('\n');
  check(lines.pop() === '', 'the note does not end in a newline');
  check(lines.length >= 1 && lines.length <= MAX_SIGNATURES, 'the note has not 1 to 100 signatures');
  let verified = false;
  // Every line is read, also those of unknown keys: a byte that nobody read is a byte that nobody verified.
  for (const line of lines) {
    const [dash, name, encoded, ...rest] = line.split(' ');
    check(dash === '\u2014' && encoded !== undefined && rest.length === 0, 'a signature line has another form');
    checkName(name, 'a signature line');
    const signature = parseBase64(encoded, 'a signature');
    check(signature.length > KEY_ID_SIZE, 'a signature is too short');
    if (name !== key.name || !signature.subarray(0, KEY_ID_SIZE).equals(key.id)) continue;
    const valid = verifySignature(null, signed, key.publicKey, signature.subarray(KEY_ID_SIZE));
    check(valid, "the log's signature does not verify");
    verified = true;
  }
  check(verified, 'the log did not sign the note');
  return signed.toString();
}

/** Section 8. Extension lines are read past, never acted upon. */
export function parseCheckpoint(text, expectedOrigin) {
  const lines = text.split('\n');
  check(lines.pop() === '' && lines.length >= 3, 'the checkpoint has not three lines');
  check(!lines.includes(''), 'the checkpoint has an empty line');
  const [origin, sizeText, rootText] = lines;
  check(origin === expectedOrigin, 'the checkpoint is of another log');
  const size = parseDecimal(sizeText, 'the tree size');
  const root = parseHash(rootText, 'the root hash');
  check(size !== 0n || root.equals(EMPTY_ROOT), 'the empty tree has another root');
  return { origin, size, root };
}

// Receipt (section 10)

const MAX_PROOF_HASHES = 63;
const SALT_SIZE = 16;

/** The lines of a tlog-proof, and the signed checkpoint after them, which is not opened yet. */
export function parseProof(bytes) {
  const split = bytes.indexOf('\n\n');
  check(split >= 0, 'the receipt has no empty line');
  const header = bytes.subarray(0, split);
  check(header.every((byte) => byte < 0x80 && byte !== 0x0d), 'the receipt is not ASCII with newlines alone');
  const lines = header.toString('latin1').split('\n');
  check(lines.shift() === 'c2sp.org/tlog-proof@v1', 'the receipt has another header');
  let extra = null;
  if (lines[0]?.startsWith('extra ')) {
    extra = parseBase64(lines.shift().slice('extra '.length), 'the extra line');
    check(extra.length > 0, 'the extra line is empty');
  }
  check(lines[0]?.startsWith('index '), 'the receipt has no index line');
  const index = parseDecimal(lines.shift().slice('index '.length), 'the index');
  check(lines.length <= MAX_PROOF_HASHES, 'the inclusion proof has too many hashes');
  const hashes = lines.map((line) => parseHash(line, 'a hash of the proof'));
  return { index, hashes, extra, note: bytes.subarray(split + 2) };
}

/** The extra bytes: fields 2 to 6, ascending, none empty. Nothing in them is signed: they count by the leaf hash. */
function parseContent(bytes) {
  const reader = new Reader(bytes, 'the receipt content');
  reader.expect(0x08, 0x01);
  const fields = {};
  for (const [number, name] of [[2, 'leaf'], [3, 'event'], [4, 'eventSalt'], [5, 'personal'], [6, 'personalSalt']]) {
    const tag = number * 8 + DELIMITED;
    if (!reader.startsWith(tag)) continue;
    reader.expect(tag);
    fields[name] = reader.delimited();
    check(fields[name].length > 0, `the receipt content has an empty field ${number}`);
  }
  reader.end();
  const { leaf } = fields;
  check(leaf !== undefined, 'the receipt content has no leaf');
  const shown = (section, salt, what) => {
    check((section === undefined) === (salt === undefined), `${what} section and salt go together`);
    if (section === undefined) return null;
    check(salt.length === SALT_SIZE, `the salt of the ${what} section is not ${SALT_SIZE} bytes long`);
    return { section, salt };
  };
  return {
    leaf,
    event: shown(fields.event, fields.eventSalt, 'event'),
    personal: shown(fields.personal, fields.personalSalt, 'personal'),
  };
}

/** Section 10.1, step 5: what index, proof and origin say about the leaf. */
function checkPlace(leaf, index, hashes, origin) {
  if (index === 0n) {
    check(leaf.previous.equals(sha256('logproof/genesis/v1\0', origin)), 'the first leaf begins another chain');
  } else if (index & 1n) {
    // The sibling of an odd leaf is the leaf before it.
    check(leaf.previous.equals(hashes[0]), 'the leaf does not continue the chain');
  }
  check(leaf.cosigned === null || leaf.cosigned.size <= index, 'the leaf names a cosigned head above its index');
}

/** Steps 6 and 7 for one section: what became of it, and its content if that was read. */
function verifySection(kind, shown, commitment) {
  if (shown === null) return { state: commitment === null ? 'none' : 'not shown', content: null };
  check(commitment !== null, `the entry has no ${kind} section, but one is shown`);
  check(commit(kind, shown.salt, shown.section).equals(commitment), `the ${kind} section is not that of the entry`);
  const content = readSection(shown.section, kind);
  return { state: content === null ? 'newer schema' : 'read', content };
}

const STATE_NOTES = {
  none: 'the entry has none',
  'not shown': 'not shown, its content is not verified',
  'newer schema': 'of a newer schema, its content is not read',
};

// A section of a newer schema leaves step 7 undone, so it decides before one that is not shown; the notes name both.
const VERDICTS = [
  ['newer schema', 'verified, content of a newer schema not read'],
  ['not shown', 'verified, section not shown'],
];

/**
 * Verifies a receipt by section 10.1 under the key that the caller brought. No trusted head is known here, so step 8
 * does not apply and the level is that of a pinned key.
 * @param {Uint8Array} bytes the file
 * @param {string} verifierKey the log's verifier key
 * @throws {Refused}
 */
export function verifyReceipt(bytes, verifierKey) {
  const proof = parseProof(Buffer.from(bytes));
  check(proof.extra !== null, 'a proof without an extra line is no receipt');
  const content = parseContent(proof.extra);
  const key = parseVerifierKey(verifierKey);
  const checkpoint = parseCheckpoint(openNote(proof.note, key), key.name);
  const leaf = parseLeaf(content.leaf);
  verifyInclusion(hashLeaf(content.leaf), proof.index, checkpoint.size, checkpoint.root, proof.hashes);
  checkPlace(leaf, proof.index, proof.hashes, checkpoint.origin);
  const event = verifySection('event', content.event, leaf.event);
  const personal = verifySection('personal', content.personal, leaf.personal);

  const notes = [];
  for (const [kind, { state }] of Object.entries({ event, personal })) {
    if (state in STATE_NOTES) notes.push(`${kind} section: ${STATE_NOTES[state]}`);
  }
  if (leaf.cosigned !== null) notes.push(`cosigned head of size ${leaf.cosigned.size}: not checked`);
  const states = [event.state, personal.state];
  return {
    verdict: VERDICTS.find(([state]) => states.includes(state))?.[1] ?? 'verified',
    level: 'pinned key, tail unproven',
    origin: checkpoint.origin,
    leaf_index: proof.index,
    tree_size: checkpoint.size,
    root_hash: checkpoint.root.toString('hex'),
    recorded_at: leaf.recordedAt,
    principal: leaf.principal.toString('hex'),
    event: event.content,
    personal: personal.content,
    notes,
  };
}

/** JSON with exact integers; JSON.stringify knows no BigInt and makes -0 a 0. */
export function toJson(value) {
  if (typeof value === 'bigint') return value.toString();
  if (Object.is(value, -0)) return '-0.0';
  if (Array.isArray(value)) return `[${value.map(toJson).join(', ')}]`;
  if (typeof value === 'string') {
    // JSON may hold these as they are, but text of a log must not steer the terminal that shows it.
    const escape = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
    return JSON.stringify(value).replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, escape);
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}: ${toJson(member)}`).join(', ')}}`;
}

function main(args) {
  if (args.length !== 2) {
    console.error('usage: node verify_receipt.mjs RECEIPT.tlog-proof VERIFIER_KEY');
    return 2;
  }
  const [path, verifierKey] = args;
  let bytes;
  try {
    parseVerifierKey(verifierKey);
    bytes = readFileSync(path);
  } catch (error) {
    console.error(error.message);
    return 2;
  }
  try {
    console.log(toJson(verifyReceipt(bytes, verifierKey)));
    return 0;
  } catch (error) {
    // A fault of this program is no verdict, but it is not a pass either.
    console.error(error instanceof Refused ? `failed: ${error.message}` : `failed: cannot verify: ${error}`);
    return 1;
  }
}

/** Whether this file was run, not imported. Links are followed: a linked script must not exit 0 without having run. */
function isProgram() {
  try {
    return realpathSync(process.argv[1]) === realpathSync(fileURLToPath(import.meta.url));
  } catch {
    return false; // Node runs no file at all: its console, or code from the command line.
  }
}

if (isProgram()) process.exitCode = main(process.argv.slice(2));
