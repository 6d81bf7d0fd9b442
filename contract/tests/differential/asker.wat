;; Calls an app as the arbiter does: read-only, with a bound on its weight, in one buffer of 64 KiB.
;;
;; Told:     account[32] | ref_time u64 | proof_size u64 | question
;; Answers:  what the chain said u32 | the app's answer
(module
  (import "seal0" "input" (func $input (param i32 i32)))
  (import "seal2" "call" (func $call (param i32 i32 i64 i64 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
  (import "env" "memory" (memory 4 16))
  (func (export "deploy"))
  (func (export "call")
    (local $question i32)
    ;; 0: room or length of what is told. 8: no coins. 32: room or length of the answer. 65536: what is told. 196604: what is answered.
    (i32.store (i32.const 0) (i32.const 131068))
    (call $input (i32.const 65536) (i32.const 0))
    (local.set $question (i32.sub (i32.load (i32.const 0)) (i32.const 48)))
    ;; What the arbiter's buffer leaves: its address, the amount and the question stand there as well.
    (i32.store (i32.const 32) (i32.sub (i32.const 65488) (local.get $question)))
    (i32.store (i32.const 196604)
      (call $call
        (i32.const 16)
        (i32.const 65536)
        (i64.load (i32.const 65568))
        (i64.load (i32.const 65576))
        (i32.const -1)
        (i32.const 8)
        (i32.const 65584)
        (local.get $question)
        (i32.const 196608)
        (i32.const 32)))
    ;; 0 is success and 2 a revert; after anything else there is no answer.
    (if (i32.and (i32.load (i32.const 196604)) (i32.const -3))
      (then (i32.store (i32.const 32) (i32.const 0))))
    (call $return (i32.const 0) (i32.const 196604) (i32.add (i32.load (i32.const 32)) (i32.const 4)))))
