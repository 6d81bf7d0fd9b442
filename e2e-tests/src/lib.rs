//! Stories told with real peers over real sockets on a real chain.
