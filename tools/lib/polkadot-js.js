// @polkadot/api-contract, which polkadot.js's apps and most interfaces of contracts are made with.

import { Abi } from '@polkadot/api-contract';
import { compactAddLength, compactStripLength } from '@polkadot/util';
import { toHex } from './bytes.js';
import { Account } from './types.js';

export class PolkadotJs {
    name = 'polkadot.js';

    constructor(bundle, types) {
        this.abi = new Abi(bundle);
        this.types = types;
    }

    /** A value as a user of this tool writes it; `account` says how accounts are written. */
    value(id, value, account) {
        const { def, path } = this.types.type(id);
        const next = this.types.newtype(id);
        if (value instanceof Account) return account(value.bytes);
        if (next !== undefined) return this.value(next, value[0], account);
        const all = (ids, values) => ids.map((inner, place) => this.value(inner, values[place], account));
        if (def.composite) return all(def.composite.fields.map((field) => field.type), value);
        if (def.tuple) return all(def.tuple, value);
        if (def.variant) {
            const fields = value.variant.fields ?? [];
            const inner = all(fields.map((field) => field.type), value.fields);
            if (path?.[0] === 'Option') return inner[0] ?? null;
            return { [value.variant.name]: fields.length === 1 && fields[0].name === undefined ? inner[0] : inner };
        }
        if (value instanceof Uint8Array) return toHex(value);
        if (Array.isArray(value)) return value.map((part) => this.value((def.sequence ?? def.array).type, part, account));
        return value;
    }

    /** The bytes of a call or a constructor: its selector, then its arguments. */
    encode(spec, values, account) {
        const found = this.abi.messages.concat(this.abi.constructors).find((one) => one.selector.eq(spec.selector));
        return compactStripLength(found.toU8a(spec.args.map((arg, place) => this.value(arg.type.type, values[place], account))))[1];
    }

    /** The bytes of a call, read and written again. */
    again(_spec, data) {
        const { args, message } = this.abi.decodeMessage(compactAddLength(data));
        return compactStripLength(message.toU8a(args))[1];
    }

    /** An event's fields, read and written again. */
    event(spec, data) {
        const record = { topics: [this.abi.registry.createType('Hash', spec.signature_topic)], event: { data: [null, data] } };
        const { args, event } = this.abi.decodeEvent(record);
        if (!event.identifier.endsWith(`::${spec.label}`)) throw new Error(`${event.identifier} is not ${spec.label}`);
        return Uint8Array.from(args.flatMap((arg) => [...arg.toU8a()]));
    }

    /** A value of a type, read and written again: what a message answers. */
    answer(id, data) {
        return this.abi.registry.createType(this.abi.registry.createLookupType(id), data).toU8a();
    }
}
