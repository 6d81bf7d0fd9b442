// Every bundle in every tool: what a tool writes of a call is what SCALE says, whatever form addresses have; what it reads of an event or an answer, errors
// included, it can write again. The arbiter's real calls, events and answers are those of the protocol's test vectors.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { blake2AsHex, encodeAddress } from '@polkadot/util-crypto';
import { NAMES, bundle, vectors } from '../lib/bundles.js';
import { fromHex, toHex } from '../lib/bytes.js';
import { Dedot } from '../lib/dedot.js';
import { Papi } from '../lib/papi.js';
import { PolkadotJs } from '../lib/polkadot-js.js';
import { Reader, Types } from '../lib/types.js';

/** Two chains write the same account in two ways. */
const ADDRESSES = {
    'SS58 of any chain': (bytes) => encodeAddress(bytes, 42),
    "SS58 of one chain's own": (bytes) => encodeAddress(bytes, 5),
    hex: toHex,
};

/** What was done, for the table at the end: bundle, tool, then how many of what. */
const done = [];

/** Each list of arguments, or of fields, that covers all variants of all types in it. */
const cover = (types, args) => {
    const covers = args.map((arg) => types.cover(arg.type.type));
    const longest = Math.max(1, ...covers.map((one) => one.length));
    return Array.from({ length: longest }, (_, place) => covers.map((one) => one[place % one.length]));
};

const written = (types, args, values) => args.flatMap((arg, place) => types.encode(arg.type.type, values[place]));

for (const [file, name] of Object.entries(NAMES)) {
    describe(name, () => {
        const metadata = bundle(file);
        const { spec } = metadata;
        const types = new Types(metadata);

        test('says truly what it is', () => {
            assert.equal(metadata.contract.name, name);
            assert.ok(metadata.contract.authors.length > 0);
            assert.equal(metadata.source.hash, blake2AsHex(fromHex(metadata.source.wasm), 256));
            assert.equal(spec.environment.staticBufferSize, 65536);
            const accounts = metadata.types.filter((entry) => types.isAccount(entry.id)).map((entry) => entry.id);
            assert.deepEqual(accounts, [spec.environment.accountId.type], 'an account is one type');
            metadata.types.forEach((entry, place) => assert.equal(entry.id, place));
        });

        test('documents its types, messages and events', () => {
            const own = metadata.types.filter(({ type }) => ['protocol', file].includes(type.path?.[0]));
            const all = [...own.map(({ type }) => [type.path.join('::'), type.docs]), ...[...spec.messages, ...spec.events].map((one) => [one.label, one.docs])];
            assert.deepEqual(all.filter(([, docs]) => !docs?.length).map(([label]) => label), []);
        });

        test('has no argument whose name is a word of JavaScript', () => {
            for (const one of [...spec.constructors, ...spec.messages, ...spec.events]) {
                for (const { label } of one.args) assert.doesNotThrow(() => new Function(label, ''), `${one.label}: ${label}`);
            }
        });

        for (const Tool of [PolkadotJs, Papi, Dedot]) {
            const count = { bundle: name, tool: new Tool(metadata, types).name, calls: 0, refused: 0, events: 0, answers: 0, vectors: 0 };
            done.push(count);
            const tool = new Tool(metadata, types);

            describe(tool.name, () => {
                for (const [form, account] of Object.entries(ADDRESSES)) {
                    test(`writes every call with addresses as ${form}`, () => {
                        for (const one of [...spec.constructors, ...spec.messages]) {
                            for (const values of cover(types, one.args)) {
                                const expected = toHex([...fromHex(one.selector), ...written(types, one.args, values)]);
                                try {
                                    assert.equal(toHex(tool.encode(one, values, account)), expected, one.label);
                                    count.calls += 1;
                                } catch (error) {
                                    // Known and refused, never wrong bytes: README.md.
                                    if (!tool.cannotWrite?.(one, values, error)) throw error;
                                    count.refused += 1;
                                }
                            }
                        }
                    });
                }

                test('reads every event', () => {
                    for (const event of spec.events) {
                        for (const values of cover(types, event.args)) {
                            const data = Uint8Array.from(written(types, event.args, values));
                            assert.equal(toHex(tool.event(event, data)), toHex(data), event.label);
                            count.events += 1;
                        }
                    }
                });

                test('reads every answer, and so every error', () => {
                    for (const { label, returnType } of [...spec.constructors, ...spec.messages]) {
                        for (const value of types.cover(returnType.type)) {
                            const data = Uint8Array.from(types.encode(returnType.type, value));
                            assert.equal(toHex(tool.answer(returnType.type, data)), toHex(data), label);
                            count.answers += 1;
                        }
                    }
                });

                if (name === 'arbiter') theArbiter(tool, spec, types, count);
            });
        }

        test('dedot generates TypeScript for it', async () => {
            const folder = mkdtempSync(join(tmpdir(), 'generated-'));
            try {
                const name = await new Dedot(metadata, types).generate(folder);
                assert.match(name, /ContractApi$/);
                const [own] = readdirSync(folder);
                assert.deepEqual(readdirSync(join(folder, own)).sort().filter((one) => /types|tx|query|events|index/.test(one)).length, 7);
            } finally {
                rmSync(folder, { recursive: true });
            }
        });
    });
}

function theArbiter(tool, spec, types, count) {
    const { story } = vectors();

    test('writes every call of the test vectors to the same bytes', () => {
        for (const { message, data } of story) {
            const one = spec.messages.find(({ label }) => label === message);
            assert.equal(toHex(tool.again(one, fromHex(data))), toHex(fromHex(data)), message);
            count.vectors += 1;
        }
    });

    test('writes every event of the test vectors to the same bytes', () => {
        for (const { message, data } of story.flatMap(({ message, events }) => events.map((data) => ({ message, data })))) {
            // The vectors have the data alone; which event it is the chain says by a topic.
            const fits = ({ args }) => {
                const reader = new Reader(fromHex(data));
                try {
                    args.forEach((arg) => types.decode(arg.type.type, reader));
                    return reader.isEmpty();
                } catch {
                    return false;
                }
            };
            const candidates = spec.events.filter(fits);
            assert.equal(candidates.length, 1, `${message}: ${data}`);
            assert.equal(toHex(tool.event(candidates[0], fromHex(data))), toHex(fromHex(data)), message);
            count.vectors += 1;
        }
    });

    test('writes every question of the test vectors to the same bytes, and reads its answer', () => {
        for (const { message, data, answer } of story.flatMap(({ reads }) => reads)) {
            const one = spec.messages.find(({ label }) => label === message);
            assert.equal(toHex(tool.again(one, fromHex(data))), toHex(fromHex(data)), message);
            // The chain adds that the message was understood.
            const whole = Uint8Array.from([0, ...fromHex(answer)]);
            assert.equal(toHex(tool.answer(one.returnType.type, whole)), toHex(whole), message);
            count.vectors += 1;
        }
    });

    test('refuses an address with a wrong letter, and encodes nothing in its stead', () => {
        const withdraw = spec.messages.find(({ label }) => label === 'vault_balance');
        const [values] = cover(types, withdraw.args);
        const mistyped = (bytes) => {
            const address = encodeAddress(bytes, 42);
            return address.slice(0, 20) + (address[20] === 'x' ? 'y' : 'x') + address.slice(21);
        };
        assert.throws(() => tool.encode(withdraw, values, mistyped));
    });
}

after(() => console.table(done));
