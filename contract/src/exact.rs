//! Arguments after which nothing may follow (R3.2).

use scale::{Decode, Encode, Error, Input, Output};

/// The last argument of a message: it decodes only where the call's bytes end with it.
///
/// ink!'s dispatcher by itself ignores what follows the arguments. With this in their last place such a call is answered as every call whose
/// arguments do not decode is: `Err(LangError::CouldNotReadInput)`, the transaction undone, no [`Rejection`](protocol::Rejection). In the
/// metadata the argument is of the type inside.
#[derive(Clone, Debug)]
pub struct Exact<T>(pub T);

impl<T: Decode> Decode for Exact<T> {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let value = T::decode(input)?;
        if input.remaining_len()? == Some(0) { Ok(Self(value)) } else { Err("bytes after the arguments".into()) }
    }
}

impl<T: Encode> Encode for Exact<T> {
    fn size_hint(&self) -> usize {
        self.0.size_hint()
    }

    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        self.0.encode_to(output);
    }
}

#[cfg(feature = "std")]
impl<T: scale_info::TypeInfo + 'static> scale_info::TypeInfo for Exact<T> {
    type Identity = T::Identity;

    fn type_info() -> scale_info::Type {
        T::type_info()
    }
}
