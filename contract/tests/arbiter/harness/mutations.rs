//! Enums of single mistakes. A healthy call with one of them must meet exactly one refusal.

/// Declares an enum of mutations and the list of all of them, so that none can be left out.
macro_rules! mutations {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(clippy::enum_variant_names, reason = "they are read as the end of a sentence")]
        $vis enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Each of them once.
            $vis const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }
    };
}
pub(crate) use mutations;
