//! The contract's heap, whose code runs nowhere but in Wasm: its algorithm on a memory of the test's own, under every order of requests.
//!
//! The algorithm stands here a second time, with what Wasm gives it behind a trait; a test fails where the two are no longer the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::{collection::vec, prelude::*, sample::Index};
use std::{alloc::Layout, cell::Cell};

/// Memory comes in pages of so many bytes.
const PAGE: usize = 64 * 1024;
/// What the chain gives a contract.
const MAX_PAGES: usize = 16;
/// As the arbiter's Wasm starts: its data ends somewhere in the fourth page.
const HEAP_BASE: usize = 3 * PAGE + 33_621;

/// The memory of a contract.
struct Memory {
    pages: Cell<usize>,
}

impl Memory {
    fn size(&self) -> usize {
        self.pages.get()
    }

    /// As Wasm's own: the size before it, or all ones.
    fn grow(&self, pages: usize) -> usize {
        let before = self.pages.get();
        match before.checked_add(pages).filter(|&after| after <= MAX_PAGES) {
            Some(after) => self.pages.replace(after),
            None => usize::MAX,
        }
    }
}

/// The addresses from `next` up to `end` are free; both are zero before the first block.
struct Heap {
    next: Cell<usize>,
    end: Cell<usize>,
    memory: Memory,
}

/// An address; zero is none.
type Address = usize;

impl Heap {
    fn new() -> Self {
        Self { next: Cell::new(0), end: Cell::new(0), memory: Memory { pages: Cell::new(HEAP_BASE.div_ceil(PAGE)) } }
    }

    fn place(&self, start: usize, size: usize) -> Address {
        let (next, end) = (start.saturating_add(size), self.end.get());
        if next > end {
            let pages = next.saturating_sub(end).div_ceil(PAGE);
            if self.memory.grow(pages) == usize::MAX {
                return 0;
            }
            self.end.set(end.saturating_add(pages.saturating_mul(PAGE)));
        }
        self.next.set(next);
        start
    }

    fn is_newest(&self, block: Address, layout: &Layout) -> bool {
        block.saturating_add(layout.size()) == self.next.get()
    }

    fn alloc(&self, layout: Layout) -> Address {
        if self.end.get() == 0 {
            self.next.set(HEAP_BASE);
            self.end.set(self.memory.size().saturating_mul(PAGE));
        }
        self.place(self.next.get().next_multiple_of(layout.align()), layout.size())
    }

    fn dealloc(&self, block: Address, layout: Layout) {
        if self.is_newest(block, &layout) {
            self.next.set(block);
        }
    }

    /// The address, and how many bytes were copied there from another one.
    fn realloc(&self, block: Address, layout: Layout, size: usize) -> (Address, usize) {
        if self.is_newest(block, &layout) {
            return (self.place(block, size), 0);
        }
        let larger = self.alloc(Layout::from_size_align(size, layout.align()).unwrap());
        (larger, if larger == 0 { 0 } else { layout.size().min(size) })
    }
}

/// The algorithm as it stands in the contract, without spaces and with the test's words for what differs.
#[test]
fn the_algorithm_tested_here_is_the_contracts() {
    const BODIES: [(&str, &str); 4] = [
        ("fn place(", "fn is_newest"),
        ("fn is_newest(", "// SAFETY: a block lies"),
        ("unsafe fn alloc(", "#[inline(never)] unsafe fn dealloc"),
        ("unsafe fn dealloc(", "#[inline(never)] unsafe fn realloc"),
    ];
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let contract = squeezed(include_str!("../../src/memory.rs"))
        .replace("*mut u8", "Address")
        .replace("ptr::null_mut()", "0")
        .replace("memory_grow(0, pages)", "self.memory.grow(pages)")
        .replace("memory_size(0)", "self.memory.size()")
        .replace("ptr::addr_of!(__heap_base) as usize", "HEAP_BASE")
        .replace("start as Address", "start")
        .replace("(block as usize).", "block.")
        .replace("block as usize", "block");
    let here = squeezed(include_str!("main.rs"));
    for (from, to) in BODIES {
        let body = contract.split_once(from).unwrap().1.split_once(to).unwrap().0;
        let body = body.split_once('{').unwrap().1.rsplit_once('}').unwrap().0.trim();
        assert!(here.contains(body), "{from}: {body}");
    }
    // The last one differs in what copies the bytes.
    let realloc = contract.split_once("unsafe fn realloc(").unwrap().1;
    for part in [
        "if self.is_newest(block, &layout) { return self.place(block, size); }",
        "let larger = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));",
        "ptr::copy_nonoverlapping(block, larger, layout.size().min(size));",
    ] {
        assert!(realloc.contains(part), "{part}");
    }
}

/// What a program asks for. Blocks are named by their place among those that live.
#[derive(Clone, Debug)]
enum Request {
    /// So many bytes, aligned to this power of two.
    Alloc(usize, u32),
    Free(Index),
    /// The newest one: as most of what functions make for themselves.
    FreeLast,
    Resize(Index, usize),
    ResizeLast(usize),
}

/// Sizes small and large, up to beyond all memory, and at the end of the addresses of 32 bits.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..200usize,
        4 => 1..20_000usize,
        2 => PAGE - 2..PAGE + 2,
        1 => Just((MAX_PAGES * PAGE) - HEAP_BASE),
        1 => MAX_PAGES * PAGE..2 * MAX_PAGES * PAGE,
        1 => 0x7FFF_0000..0x7FFF_FFF0usize,
    ]
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let request = prop_oneof![
        5 => (sizes(), 0..6u32).prop_map(|(size, align)| Request::Alloc(size, align)),
        2 => any::<Index>().prop_map(Request::Free),
        4 => Just(Request::FreeLast),
        2 => (any::<Index>(), sizes()).prop_map(|(which, size)| Request::Resize(which, size)),
        3 => sizes().prop_map(Request::ResizeLast),
    ];
    vec(request, 1..200)
}

/// A block that lives, and the byte that its owner wrote all over it.
#[derive(Clone, Copy, Debug)]
struct Block {
    at: Address,
    layout: Layout,
    mark: u8,
}

/// A program that writes into all that it is given, and reads it again.
struct Program {
    heap: Heap,
    bytes: Vec<u8>,
    blocks: Vec<Block>,
    marks: u8,
}

impl Program {
    fn new() -> Self {
        Self { heap: Heap::new(), bytes: vec![0; MAX_PAGES * PAGE], blocks: Vec::new(), marks: 0 }
    }

    fn mark(&mut self) -> u8 {
        self.marks = self.marks.wrapping_add(1);
        self.marks
    }

    /// A block that was given is aligned, lies in memory above the contract's data, and meets no other.
    fn check(&self, block: &Block) {
        let end = block.at.checked_add(block.layout.size()).expect("no block wraps around");
        assert_eq!(block.at % block.layout.align(), 0);
        assert!(block.at >= HEAP_BASE && end <= self.heap.memory.size() * PAGE, "{block:?}");
        for other in &self.blocks {
            let others_end = other.at + other.layout.size();
            assert!(end <= other.at || others_end <= block.at, "{block:?} meets {other:?}");
        }
    }

    fn write(&mut self, block: Block) {
        self.bytes[block.at..][..block.layout.size()].fill(block.mark);
        self.blocks.push(block);
    }

    fn make(&mut self, request: &Request) {
        let which = |index: &Index| (!self.blocks.is_empty()).then(|| index.index(self.blocks.len()));
        let last = self.blocks.len().checked_sub(1);
        match request {
            Request::Alloc(size, align) => {
                let layout = Layout::from_size_align(*size, 1 << align).unwrap();
                let (next, at) = (self.heap.next.get(), self.heap.alloc(layout));
                if at == 0 {
                    assert!(next == 0 || next == self.heap.next.get(), "what fails changes nothing");
                    return;
                }
                let block = Block { at, layout, mark: self.mark() };
                self.check(&block);
                self.write(block);
            }
            Request::Free(index) => which(index).into_iter().for_each(|place| self.free(place)),
            Request::FreeLast => last.into_iter().for_each(|place| self.free(place)),
            Request::Resize(index, size) => {
                which(index).into_iter().for_each(|place| self.resize(place, *size));
            }
            Request::ResizeLast(size) => last.into_iter().for_each(|place| self.resize(place, *size)),
        }
        for Block { at, layout, mark } in &self.blocks {
            let bytes = &self.bytes[*at..][..layout.size()];
            assert!(bytes.iter().all(|byte| byte == mark), "what was written stays");
        }
    }

    fn free(&mut self, place: usize) {
        let Block { at, layout, .. } = self.blocks.remove(place);
        self.heap.dealloc(at, layout);
    }

    fn resize(&mut self, place: usize, size: usize) {
        let old = self.blocks[place];
        let (next, (at, copied)) = (self.heap.next.get(), self.heap.realloc(old.at, old.layout, size));
        if at == 0 {
            assert_eq!(self.heap.next.get(), next, "what fails changes nothing, and the old block stays");
            return;
        }
        let _old = self.blocks.remove(place);
        let layout = Layout::from_size_align(size, old.layout.align()).unwrap();
        self.bytes.copy_within(old.at..old.at + copied, at);
        let kept = old.layout.size().min(size);
        assert!(self.bytes[at..][..kept].iter().all(|byte| *byte == old.mark), "what it held moves along");
        let block = Block { at, layout, mark: self.mark() };
        self.check(&block);
        self.write(block);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn blocks_never_meet_and_keep_what_was_written_into_them(requests in requests()) {
        let mut program = Program::new();
        for request in &requests {
            program.make(request);
        }
    }

    #[test]
    fn what_is_given_back_in_the_reverse_order_leaves_nothing_behind_but_padding(layouts in vec((1..5_000usize, 0..5u32), 1..64)) {
        let heap = Heap::new();
        let first = heap.alloc(Layout::new::<u8>());
        let before = heap.next.get();
        let blocks: Vec<_> = layouts.iter().map(|&(size, align)| {
            let layout = Layout::from_size_align(size, 1 << align).unwrap();
            (heap.alloc(layout), layout)
        }).collect();
        for &(at, layout) in blocks.iter().rev() {
            heap.dealloc(at, layout);
        }
        prop_assert!(first != 0);
        // A block that is followed by padding is not the newest any more, and stays.
        let padded = blocks.windows(2).any(|two| two[0].0 + two[0].1.size() != two[1].0) || blocks[0].0 != before;
        prop_assert!(padded || heap.next.get() == before);
    }
}

#[test]
fn memory_is_given_out_to_the_last_byte_and_not_one_more() {
    let heap = Heap::new();
    let all = MAX_PAGES * PAGE - HEAP_BASE;
    let bytes = |size| Layout::from_size_align(size, 1).unwrap();
    assert_eq!(heap.alloc(bytes(all + 1)), 0);
    assert_eq!(heap.alloc(bytes(all)), HEAP_BASE);
    assert_eq!(heap.alloc(bytes(1)), 0);
    assert_eq!(heap.realloc(HEAP_BASE, bytes(all), all + 1), (0, 0));
    heap.dealloc(HEAP_BASE, bytes(all));
    assert_eq!((heap.alloc(bytes(1)), heap.memory.size()), (HEAP_BASE, MAX_PAGES), "memory never shrinks");
}
