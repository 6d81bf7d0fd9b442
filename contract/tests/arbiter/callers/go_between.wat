;; An app that makes one call and then behaves: its output is what the chain said to that call, one byte.
;;
;; Input:    account[32] | coins u128 | length u32 | that many bytes; 64 bytes at least in all, since where it begins is fixed
(module
  (import "seal0" "input" (func $input (param i32 i32)))
  (import "seal2" "call" (func $call (param i32 i32 i64 i64 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
  (import "env" "memory" (memory 4 16))
  (func (export "deploy"))
  (func (export "call")
    ;; 0: room or length of what is told. 16: the answer. 65536: selector[4] | context[109] | empty state[1] | length[2] | input.
    (i32.store (i32.const 0) (i32.const 131072))
    (call $input (i32.const 65536) (i32.const 0))
    (i32.store8 (i32.const 52)
      (call $call
        (i32.const 8)
        (i32.const 65652)
        (i64.const 0)
        (i64.const 0)
        (i32.const -1)
        (i32.const 65684)
        (i32.const 65704)
        (i32.load (i32.const 65700))
        (i32.const -1)
        (i32.const 0)))
    ;; Ok | Ok | an empty state | no payouts[32] | an output of one byte | no requirement
    (i32.store8 (i32.const 51) (i32.const 4))
    (call $return (i32.const 0) (i32.const 16) (i32.const 38))))
