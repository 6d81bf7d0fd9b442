//! Types that contain themselves: a value of one would have no end, and whoever reads or writes one by its type would not come to an end either.

use scale_info::{PortableRegistry, TypeDef, form::PortableForm};

/// Whether some type contains itself. By way of a list or of one of several variants it may: those have an end.
pub(super) fn is_any_endless(types: &PortableRegistry) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Above,
        Done,
    }
    let mut seen = vec![Seen::Not; types.types.len()];
    for start in 0..types.types.len() {
        let mut path: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(id) = next.take() {
                match seen.get_mut(id) {
                    Some(Seen::Above) => return true,
                    Some(seen @ Seen::Not) => {
                        *seen = Seen::Above;
                        let parts = types.types.get(id).map(|kind| parts(&kind.ty.type_def)).unwrap_or_default();
                        path.push((id, parts));
                    }
                    Some(Seen::Done) | None => {}
                }
            }
            let Some((id, left)) = path.last_mut() else { break };
            match left.pop() {
                Some(part) => next = usize::try_from(part).ok(),
                None => {
                    if let Some(seen) = seen.get_mut(*id) {
                        *seen = Seen::Done;
                    }
                    drop(path.pop());
                }
            }
        }
    }
    false
}

/// What each value of a type contains.
fn parts(kind: &TypeDef<PortableForm>) -> Vec<u32> {
    match kind {
        TypeDef::Composite(composite) => composite.fields.iter().map(|field| field.ty.id).collect(),
        TypeDef::Tuple(tuple) => tuple.fields.iter().map(|part| part.id).collect(),
        TypeDef::Array(array) => vec![array.type_param.id],
        TypeDef::Compact(compact) => vec![compact.type_param.id],
        TypeDef::Variant(_) | TypeDef::Sequence(_) | TypeDef::Primitive(_) | TypeDef::BitSequence(_) => Vec::new(),
    }
}
