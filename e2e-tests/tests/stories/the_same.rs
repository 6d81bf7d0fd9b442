//! The stories that are told on a real node too.

e2e_tests::tell_every_story!(crate::world);
