// Bytes and their hex.

export const toHex = (bytes) => `0x${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;

export const fromHex = (hex) => {
    const digits = hex.replace(/^0x/, '');
    return Uint8Array.from({ length: digits.length / 2 }, (_, place) => parseInt(digits.slice(2 * place, 2 * place + 2), 16));
};
