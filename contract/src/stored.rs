//! Storage layouts for `protocol`'s types, which know nothing of ink!.

use protocol::{record::Record, terms::Limits};
use scale::{Decode, Encode};

macro_rules! stored {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Encode, Decode)]
        #[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
        pub(crate) struct $name(pub(crate) $inner);

        #[cfg(feature = "std")]
        impl ink::storage::traits::StorageLayout for $name {
            fn layout(key: &ink::primitives::Key) -> ink::metadata::layout::Layout {
                ink::metadata::layout::Layout::Leaf(ink::metadata::layout::LeafLayout::from_key::<Self>(key.into()))
            }
        }
    };
}

stored!(
    /// A channel's record in one storage cell.
    StoredRecord(Record)
);
stored!(
    /// The arbiter's bounds, beside its root.
    StoredLimits(Limits)
);
