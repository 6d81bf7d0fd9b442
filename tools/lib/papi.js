// polkadot-api (papi): what its clients of contracts are made with.

import { getInkClient, getInkDynamicBuilder, getInkLookup } from '@polkadot-api/ink-contracts';
import { getLookupCodecBuilder } from '@polkadot-api/metadata-builders';
import { AccountId } from '@polkadot-api/substrate-bindings';
import { toHex } from './bytes.js';
import { Account } from './types.js';

export class Papi {
    name = 'polkadot-api';

    constructor(bundle, types) {
        this.client = getInkClient({ metadata: bundle });
        this.lookup = getInkLookup(bundle);
        this.codec = getLookupCodecBuilder(this.lookup);
        this.types = types;
    }

    /** A value as a user of this tool writes it; `account` says how accounts are written. */
    value(id, value, account) {
        const { def, path } = this.types.type(id);
        if (value instanceof Account) return address(account(value.bytes));
        const inner = (ids, values) => ids.map((part, place) => this.value(part, values[place], account));
        const fields = (fields, values) => {
            if (fields.length === 0) return undefined;
            const parts = inner(fields.map((field) => field.type), values);
            // A struct or a tuple of one field is that field.
            if (fields.length === 1 && (fields[0].name === undefined || def.composite)) return parts[0];
            return fields[0].name === undefined ? parts : Object.fromEntries(fields.map((field, place) => [field.name, parts[place]]));
        };
        if (def.composite) return fields(def.composite.fields ?? [], value);
        if (def.tuple) return def.tuple.length === 0 ? undefined : def.tuple.length === 1 ? inner(def.tuple, value)[0] : inner(def.tuple, value);
        if (def.variant) {
            const parts = fields(value.variant.fields ?? [], value.fields);
            if (path?.join() === 'Option') return parts;
            if (path?.join() === 'Result') return { success: value.variant.name === 'Ok', value: parts };
            return { type: value.variant.name, value: parts };
        }
        // Bytes of a fixed number are hex here, others bytes.
        if (value instanceof Uint8Array) return def.array ? toHex(value) : value;
        if (Array.isArray(value)) return value.map((part) => this.value((def.sequence ?? def.array).type, part, account));
        if (typeof value === 'bigint' && !['u64', 'u128', 'i64', 'i128'].includes(def.primitive)) return Number(value);
        return value;
    }

    /** The bytes of a call or a constructor: its selector, then its arguments. */
    encode(spec, values, account) {
        const kind = spec.returnType && spec.mutates !== undefined ? 'message' : 'constructor';
        const args = spec.args.map((arg, place) => [arg.label, this.value(arg.type.type, values[place], account)]);
        return this.client[kind](spec.label).encode(Object.fromEntries(args));
    }

    /** The bytes of a call, read and written again. */
    again(spec, data) {
        const { call } = getInkDynamicBuilder(this.lookup).buildMessage(spec.label);
        return call.enc(call.dec(data));
    }

    /** An event's fields, read and written again. */
    event(spec, data) {
        const { type, value } = this.client.event.decode({ data }, spec.signature_topic);
        if (type !== spec.label) throw new Error(`${type} is not ${spec.label}`);
        return Uint8Array.from(spec.args.flatMap((arg) => [...this.codec(arg.type.type).enc(value[arg.label])]));
    }

    /** A value of a type, read and written again: what a message answers. */
    answer(id, data) {
        return this.codec(id).enc(this.codec(id).dec(data));
    }
}

/** An address as this tool takes it: in SS58 only. Whoever has hex makes SS58 of it, by the tool's own codec. */
function address(text) {
    return text.startsWith('0x') ? AccountId().dec(text) : text;
}
