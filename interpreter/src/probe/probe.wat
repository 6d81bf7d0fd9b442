;; Spends in a way that its input names: byte 0 says on what, byte 1 how often.
;; Both entry points are one function, so that a chain can run it as the constructor of a contract that is never kept.
(module
  (import "env" "memory" (memory 1 1))
  (import "seal0" "input" (func $input (param i32 i32)))
  (import "seal0" "value_transferred" (func $value (param i32 i32)))
  (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
  (func (export "call") (export "deploy")
    (local $left i32)
    ;; The input from 1024 on; its length, and before that the room for it, at 0.
    (i32.store (i32.const 0) (i32.const 4096))
    (call $input (i32.const 1024) (i32.const 0))
    (local.set $left (i32.load8_u (i32.const 1025)))
    (block $done
      (loop $again
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 1))
          (then
            (i32.store (i32.const 0) (i32.const 4096))
            (call $input (i32.const 1024) (i32.const 0))))
        (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 2))
          (then
            (i32.store (i32.const 0) (i32.const 16))
            (call $value (i32.const 16) (i32.const 0))))
        (br $again)))
    ;; Kind 3 answers 16 bytes for each time.
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 3))
      (then
        (call $return (i32.const 0) (i32.const 1024) (i32.shl (i32.load8_u (i32.const 1025)) (i32.const 4)))))))
