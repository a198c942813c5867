// Runs the script of a bundle's page outside a browser. Each line of stdin is a call: {bundle, key, since, quick} with paths,
// or {signature: [key, message, signature]}, or {section: [kind, bytes]} in base64.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const page = readFileSync(process.argv[2], 'utf8');
const [, source] = /<script>(.*)<\/script>/s.exec(page);
const { verifyBundle, isValidSignature, readSection, flatEvent, toRow, Failed } = new Function(
  `${source}\nreturn { verifyBundle, isValidSignature, readSection, flatEvent, toRow, Failed };`,
)();

const fromBase64 = (text) => new Uint8Array(Buffer.from(text, 'base64'));

function section(type, bytes) {
  try {
    const content = readSection(bytes, type);
    if (content === null) return 'newer';
    return toRow(type === 'Event' ? flatEvent(content, {}) : flatEvent({}, content));
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    return 'refused';
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  let answer;
  if (call.signature) {
    answer = isValidSignature(...call.signature.map(fromBase64));
  } else if (call.section) {
    answer = section(call.section[0], fromBase64(call.section[1]));
  } else {
    const since = call.since ? new Uint8Array(readFileSync(call.since)) : null;
    const started = performance.now();
    const verdict = await verifyBundle(new Uint8Array(readFileSync(call.bundle)), { key: call.key, since, quick: call.quick });
    const { code, first, reason, rows } = verdict;
    answer = { code, first, reason, rows: rows.length, milliseconds: performance.now() - started };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
