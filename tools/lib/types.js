// The types of a bundle's metadata, read plainly: values that cover every variant, and their SCALE bytes. What the tools make of the same values is held
// against these bytes.
//
// A value is of one shape for all tools: an array for a struct and for a tuple in the order of its fields, `{ variant, fields }` for an enum, a Uint8Array for
// bytes of any kind, an Account for an account, a BigInt for a number, a boolean, a string.

/** An account of a chain, 32 bytes. */
export class Account {
    constructor(bytes) {
        this.bytes = bytes;
    }
}

const WIDTHS = { u8: 1, u16: 2, u32: 4, u64: 8, u128: 16, i8: 1, i16: 2, i32: 4, i64: 8, i128: 16 };

export class Types {
    #types;
    #byte = 0;

    constructor(metadata) {
        this.#types = metadata.types.map((entry) => entry.type);
    }

    type(id) {
        return this.#types[id];
    }

    isAccount(id) {
        return this.type(id).path?.join('::') === 'ink_primitives::types::AccountId';
    }

    /** The one field without a name of a struct that only gives another name to a type; none for any other type. */
    newtype(id) {
        const fields = this.type(id).def.composite?.fields;
        return fields?.length === 1 && fields[0].name === undefined ? fields[0].type : undefined;
    }

    isByte(id) {
        return this.type(id).def.primitive === 'u8';
    }

    /** Values of a type that have each variant of each enum inside at least once. */
    cover(id) {
        const { def } = this.type(id);
        if (this.isAccount(id)) return [new Account(this.#bytes(32))];
        if (def.composite) return this.#coverFields(def.composite.fields?.map((field) => field.type) ?? []);
        if (def.tuple) return this.#coverFields(def.tuple);
        if (def.variant) {
            return (def.variant.variants ?? []).flatMap((variant) =>
                this.#coverFields(variant.fields?.map((field) => field.type) ?? []).map((fields) => ({ variant, fields })),
            );
        }
        if (def.sequence) {
            if (this.isByte(def.sequence.type)) return [this.#bytes(5), new Uint8Array()];
            return [this.cover(def.sequence.type), []];
        }
        if (def.array) {
            if (this.isByte(def.array.type)) return [this.#bytes(def.array.len)];
            const inner = this.cover(def.array.type);
            return [Array.from({ length: def.array.len }, (_, place) => inner[place % inner.length])];
        }
        if (def.primitive === 'bool') return [true, false];
        if (def.primitive === 'str') return ['a text'];
        const width = WIDTHS[def.primitive];
        if (width === undefined) throw new Error(`type ${id}: nothing here knows ${JSON.stringify(def)}`);
        return [this.#bytes(width).reduce((number, byte) => (number << 8n) | BigInt(byte & 0x7f), 0n), 0n];
    }

    /** As many values as the field has that needs most, all others going round. */
    #coverFields(ids) {
        const covers = ids.map((id) => this.cover(id));
        const longest = Math.max(1, ...covers.map((cover) => cover.length));
        return Array.from({ length: longest }, (_, place) => covers.map((cover) => cover[place % cover.length]));
    }

    /** Bytes that are never the same twice in a row. */
    #bytes(length) {
        return Uint8Array.from({ length }, () => (this.#byte = (this.#byte + 1) % 251));
    }

    /** The value that comes next in a Reader. */
    decode(id, reader) {
        const { def } = this.type(id);
        const all = (ids) => ids.map((part) => this.decode(part, reader));
        const list = (length, part) => (this.isByte(part) ? reader.take(length) : all(Array.from({ length }, () => part)));
        if (this.isAccount(id)) return new Account(reader.take(32));
        if (def.composite) return all((def.composite.fields ?? []).map((field) => field.type));
        if (def.tuple) return all(def.tuple);
        if (def.variant) {
            const [index] = reader.take(1);
            const variant = def.variant.variants.find((one) => one.index === index);
            if (variant === undefined) throw new Error(`there is no variant ${index}`);
            return { variant, fields: all((variant.fields ?? []).map((field) => field.type)) };
        }
        if (def.sequence) return list(reader.length(), def.sequence.type);
        if (def.array) return list(def.array.len, def.array.type);
        if (def.primitive === 'bool') return reader.take(1)[0] === 1;
        if (def.primitive === 'str') return new TextDecoder().decode(reader.take(reader.length()));
        return reader.number(WIDTHS[def.primitive]);
    }

    /** Whether a struct somewhere in this value has an optional field that is there. */
    hasOptionalField(id, value) {
        const { def, path } = this.type(id);
        const any = (ids, values) => ids.some((part, place) => this.hasOptionalField(part, values[place]));
        const isThere = (field, inner) => field.name !== undefined && this.type(field.type).path?.join() === 'Option' && inner.variant.name === 'Some';
        if (value instanceof Account || value instanceof Uint8Array) return false;
        const fields = def.composite?.fields ?? value?.variant?.fields ?? [];
        const values = value?.fields ?? value;
        if (def.composite || (def.variant && path?.join() !== 'Option')) {
            return fields.some((field, place) => isThere(field, values[place])) || any(fields.map((field) => field.type), values);
        }
        if (def.variant) return any(fields.map((field) => field.type), values);
        if (def.tuple) return any(def.tuple, value);
        return Array.isArray(value) && value.some((part) => this.hasOptionalField((def.sequence ?? def.array).type, part));
    }

    /** SCALE, as an array of bytes. */
    encode(id, value) {
        const { def } = this.type(id);
        if (value instanceof Account) return [...value.bytes];
        if (def.composite) return (def.composite.fields ?? []).flatMap((field, place) => this.encode(field.type, value[place]));
        if (def.tuple) return def.tuple.flatMap((part, place) => this.encode(part, value[place]));
        if (def.variant) {
            const fields = value.variant.fields ?? [];
            return [value.variant.index, ...fields.flatMap((field, place) => this.encode(field.type, value.fields[place]))];
        }
        if (def.sequence) {
            return [...compact(value.length), ...[...value].flatMap((part) => this.encode(def.sequence.type, part))];
        }
        if (def.array) return [...value].flatMap((part) => this.encode(def.array.type, part));
        if (def.primitive === 'bool') return [value ? 1 : 0];
        if (def.primitive === 'str') {
            const bytes = new TextEncoder().encode(value);
            return [...compact(bytes.length), ...bytes];
        }
        return Array.from({ length: WIDTHS[def.primitive] }, (_, place) => Number((BigInt(value) >> BigInt(8 * place)) & 0xffn));
    }
}

/** Bytes that are read one after the other. */
export class Reader {
    #rest;

    constructor(bytes) {
        this.#rest = bytes;
    }

    take(length) {
        if (this.#rest.length < length) throw new Error(`${length} bytes are wanted, and ${this.#rest.length} are there`);
        const taken = this.#rest.slice(0, length);
        this.#rest = this.#rest.slice(length);
        return taken;
    }

    isEmpty() {
        return this.#rest.length === 0;
    }

    number(width) {
        return this.take(width).reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
    }

    length() {
        const [first] = this.#rest;
        const width = [1, 2, 4][first & 3];
        if (width === undefined) throw new Error('a length beyond 2^30');
        return Number(this.number(width) >> 2n);
    }
}

/** A length as SCALE has it, below 2^30. */
function compact(length) {
    if (length < 1 << 6) return [length << 2];
    if (length < 1 << 14) return [((length << 2) | 1) & 0xff, length >> 6];
    return [0, 8, 16, 24].map((shift) => (((length << 2) | 2) >>> shift) & 0xff);
}
