//! Routers over modelled channels, crashed wherever a crash can be: what the network crate promises, as stories.
