// dedot: its registry of a contract's types, and its generator of TypeScript.

import assert from 'node:assert/strict';
import { generateContractTypes } from '@dedot/codegen';
import { AccountId32 } from '@dedot/codecs';
import { TypinkRegistry } from '@dedot/contracts';
import { stringCamelCase, stringPascalCase } from '@dedot/utils';
import { toHex } from './bytes.js';
import { Account, Reader } from './types.js';

export class Dedot {
    name = 'dedot';

    constructor(bundle, types) {
        this.registry = new TypinkRegistry(bundle);
        this.bundle = bundle;
        this.types = types;
    }

    /** A value as a user of this tool writes it; `account` says how accounts are written. */
    value(id, value, account) {
        const { def, path } = this.types.type(id);
        if (value instanceof Account) return account(value.bytes);
        const inner = (ids, values) => ids.map((part, place) => this.value(part, values[place], account));
        const fields = (fields, values) => {
            const parts = inner(fields.map((field) => field.type), values);
            if (fields.length > 0 && fields[0].name === undefined) return fields.length === 1 ? parts[0] : parts;
            return Object.fromEntries(fields.map((field, place) => [stringCamelCase(field.name), parts[place]]));
        };
        if (def.composite) return fields(def.composite.fields ?? [], value);
        if (def.tuple) return def.tuple.length === 1 ? inner(def.tuple, value)[0] : inner(def.tuple, value);
        if (def.variant) {
            const { variant } = value;
            // It knows no names of a variant's fields.
            const parts = (variant.fields ?? []).length === 0 ? undefined : fields(variant.fields.map(({ type }) => ({ type })), value.fields);
            if (path?.join() === 'Option') return parts;
            if (path?.join() === 'Result') return variant.name === 'Ok' ? { isOk: true, value: parts } : { isErr: true, err: parts };
            if (def.variant.variants.every((one) => (one.fields ?? []).length === 0)) return variant.name;
            return parts === undefined ? { type: stringPascalCase(variant.name) } : { type: stringPascalCase(variant.name), value: parts };
        }
        if (value instanceof Uint8Array) return toHex(value);
        if (Array.isArray(value)) return value.map((part) => this.value((def.sequence ?? def.array).type, part, account));
        if (typeof value === 'bigint' && !['u64', 'u128', 'i64', 'i128'].includes(def.primitive)) return Number(value);
        return value;
    }

    codec(arg) {
        return this.registry.findCodec(arg.type.type);
    }

    /** The bytes of a call or a constructor: its selector, then its arguments. */
    encode(spec, values, account) {
        const args = spec.args.flatMap((arg, place) => [...this.codec(arg).tryEncode(this.value(arg.type.type, values[place], account))]);
        return Uint8Array.from([...Buffer.from(spec.selector.slice(2), 'hex'), ...args]);
    }

    /** Whether this is what it cannot write: see README.md. */
    cannotWrite(spec, values, error) {
        return error instanceof RangeError && spec.args.some((arg, place) => this.types.hasOptionalField(arg.type.type, values[place]));
    }

    /** The bytes of a call, read and written again. */
    again(spec, data) {
        let rest = data.subarray(4);
        const again = spec.args.flatMap((arg) => {
            const bytes = this.codec(arg).tryEncode(this.codec(arg).tryDecode(rest));
            rest = rest.subarray(bytes.length);
            return [...bytes];
        });
        return Uint8Array.from([...data.subarray(0, 4), ...again]);
    }

    /** An event's fields as they are read; where that is right, its bytes. */
    event(spec, data) {
        const event = { pallet: 'Contracts', palletEvent: { name: 'ContractEmitted', data: { data: toHex(data) } } };
        const { name, data: fields } = this.registry.decodeEvent({ event, topics: [spec.signature_topic] });
        if (name !== spec.label) throw new Error(`${name} is not ${spec.label}`);
        const reader = new Reader(data);
        for (const arg of spec.args) this.#same(arg.type.type, this.types.decode(arg.type.type, reader), fields[stringCamelCase(arg.label)]);
        return data;
    }

    /** A value of a type as it is read: what a message answers; where that is right, its bytes. */
    answer(id, data) {
        this.#same(id, this.types.decode(id, new Reader(data)), this.registry.findCodec(id).tryDecode(data));
        return data;
    }

    #same(id, expected, read) {
        assert.deepEqual(plain(read), plain(this.value(id, expected, toHex)));
    }

    /** Writes TypeScript for the contract into a folder, and says how the interface is called. */
    async generate(folder) {
        return (await generateContractTypes(this.bundle, this.bundle.contract.name, folder)).interfaceName;
    }
}

/** Without what stands for nothing, and with accounts as hex. */
function plain(value) {
    if (value instanceof AccountId32) return value.raw;
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
    // A result says of both ends whether it is one.
    const isNothing = ([key, inner]) => inner === undefined || (inner === false && ['isOk', 'isErr'].includes(key));
    const entries = Object.entries(value).filter((entry) => !isNothing(entry));
    return Object.fromEntries(entries.map(([key, inner]) => [key, plain(inner)]));
}
