//! The stories that are told on the embedded chain too.

e2e_tests::tell_every_story!(crate::world);
