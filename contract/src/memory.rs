//! The contract's heap. Chains give a contract 1 MiB of memory, and ink!'s own allocator frees nothing: a batch of many calls, or the
//! tables of many signature checks one after the other, would not fit (R5.14a).
//!
//! ```text
//!   stack | data | blocks, in the order in which they were made -> | free
//!                                                              next   end
//! ```
//!
//! The newest block can grow, and is given back; an older one stays until the call ends. What a function makes for itself is given back in
//! the reverse order, so that each call of a batch leaves next to nothing behind.

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32::{memory_grow, memory_size},
    cell::Cell,
    ptr,
};

/// Memory comes in pages of so many bytes.
const PAGE: usize = 64 * 1024;

extern "C" {
    /// Where the linker's own data ends.
    static __heap_base: u8;
}

/// The addresses from `next` up to `end` are free; both are zero before the first block.
struct Heap {
    next: Cell<usize>,
    end: Cell<usize>,
}

#[global_allocator]
static HEAP: Heap = Heap { next: Cell::new(0), end: Cell::new(0) };

// SAFETY: a contract runs in one thread.
unsafe impl Sync for Heap {}

impl Heap {
    /// Makes `size` bytes from `start` on the newest block, or answers null where there is no more memory.
    fn place(&self, start: usize, size: usize) -> *mut u8 {
        let (next, end) = (start.saturating_add(size), self.end.get());
        if next > end {
            let pages = next.saturating_sub(end).div_ceil(PAGE);
            if memory_grow(0, pages) == usize::MAX {
                return ptr::null_mut();
            }
            self.end.set(end.saturating_add(pages.saturating_mul(PAGE)));
        }
        self.next.set(next);
        start as *mut u8
    }

    fn is_newest(&self, block: *mut u8, layout: &Layout) -> bool {
        (block as usize).saturating_add(layout.size()) == self.next.get()
    }
}

// SAFETY: a block lies between `__heap_base` and the end of memory, aligned as asked for, and no other block is placed on it: blocks are
// placed from `next` on, and `next` goes back to a block's start only when that block is given back or placed anew.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.end.get() == 0 {
            self.next.set(ptr::addr_of!(__heap_base) as usize);
            self.end.set(memory_size(0).saturating_mul(PAGE));
        }
        self.place(self.next.get().next_multiple_of(layout.align()), layout.size())
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_newest(block, &layout) {
            self.next.set(block as usize);
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_newest(block, &layout) {
            return self.place(block as usize, size);
        }
        // SAFETY: the caller says that `size` is not too large for this alignment.
        let larger = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !larger.is_null() {
            // SAFETY: both blocks have so many bytes, and they are two.
            ptr::copy_nonoverlapping(block, larger, layout.size().min(size));
        }
        larger
    }
}
