// Calls functions of docs/examples/verify_receipt.mjs for a test: one JSON array a line in, [name, ...arguments], one
// JSON object a line out. Bytes come in base64 and go in hex, indexes and sizes come as decimal text. Only a refusal is
// an answer; any other error ends this process, and so fails the test.

import { createInterface } from 'node:readline';

import {
  Refused, openNote, parseCheckpoint, parseLeaf, parseProof, parseVerifierKey, readSection, toJson, verifyInclusion,
  verifyReceipt,
} from '../../docs/examples/verify_receipt.mjs';

const bytes = (text) => Buffer.from(text, 'base64');
const hex = (value) => (value === null ? null : value.toString('hex'));

const CALLS = {
  receipt: (data, key) => verifyReceipt(bytes(data), key),
  section: (data, kind) => readSection(bytes(data), kind),
  leaf(data) {
    const leaf = parseLeaf(bytes(data));
    const { cosigned } = leaf;
    return {
      recorded_at: leaf.recordedAt,
      principal: hex(leaf.principal),
      catalogue: leaf.catalogue,
      previous: hex(leaf.previous),
      event_commitment: hex(leaf.event),
      personal_commitment: hex(leaf.personal),
      cosigned_head: cosigned && { size: cosigned.size, root: hex(cosigned.root), cosigned_at: cosigned.time },
    };
  },
  key: (text) => parseVerifierKey(text).name,
  note: (data, key) => openNote(bytes(data), parseVerifierKey(key)),
  checkpoint(text, origin) {
    const { size, root } = parseCheckpoint(text, origin);
    return { size, root: hex(root) };
  },
  proof(data) {
    const { index, hashes, extra, note } = parseProof(bytes(data));
    return { index, hashes: hashes.map(hex), extra: hex(extra), note: note.toString() };
  },
  inclusion(leafHash, index, size, root, hashes) {
    verifyInclusion(bytes(leafHash), BigInt(index), BigInt(size), bytes(root), hashes.map(bytes));
    return null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...values] = JSON.parse(line);
  let answer;
  try {
    answer = { value: CALLS[name](...values) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    answer = { refused: error.message };
  }
  process.stdout.write(`${toJson(answer)}\n`);
}
