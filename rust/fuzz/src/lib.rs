//! What the targets share: how inputs are mutated, how a tar is cut into chunks, how much may be allocated.

pub mod mutation;
pub mod pieces;

use std::alloc::{GlobalAlloc, Layout, System};

/// Largest single allocation in bytes. Inputs are far smaller, and the largest things that a core may allocate
/// whatever the input says are an extended header of 1 MiB and the table of a few thousand names.
const MAX_ALLOCATION_LEN: usize = 16 << 20;

/// The system's allocator, which refuses what is too large: a size that an input claims, or a hole, must not
/// become memory. A limit on resident memory would not see zeroed pages that nobody touches.
struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

// SAFETY: every call goes to the system's allocator, or fails as an allocator may.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MAX_ALLOCATION_LEN {
            return std::ptr::null_mut(); // the caller then aborts
        }
        // SAFETY: as for this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MAX_ALLOCATION_LEN {
            return std::ptr::null_mut();
        }
        // SAFETY: as for this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if new_size > MAX_ALLOCATION_LEN {
            return std::ptr::null_mut();
        }
        // SAFETY: as for this function.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as for this function.
        unsafe { System.dealloc(pointer, layout) }
    }
}
