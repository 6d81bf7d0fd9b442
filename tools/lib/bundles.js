// The bundles that `cargo xtask contract` has written, and the protocol's test vectors.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const checkout = process.env.CHECKOUT ?? fileURLToPath(new URL('../..', import.meta.url));
const folder = process.env.CONTRACTS_DIR ?? join(checkout, 'target/contract');

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** Files without their ending, and the names that the bundles have. */
export const NAMES = {
    contract: 'arbiter',
    counter: 'counter',
    escrow: 'escrow',
    exchange: 'exchange',
    hidden: 'hidden',
    hostile: 'hostile',
    milestones: 'milestones',
    stream: 'stream',
    titles: 'titles',
};

export const bundle = (file) => read(join(folder, `${file}.contract`));

export const vectors = () => read(join(checkout, 'protocol/vectors/v1.json'));
