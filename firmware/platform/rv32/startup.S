/* Start-up of an emulated RV32: stack, trap vector, data, main, exit code. */
    .option arch, +zicsr
    .section .text.start, "ax"
    .globl vad_reset
    .type vad_reset, @function
vad_reset:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, vad_stack_top
    la t0, vad_trap
    csrw mtvec, t0
    j vad_start
    .size vad_reset, . - vad_reset

    .balign 4
    .type vad_trap, @function
vad_trap:
    la sp, vad_stack_top
    csrr a0, mcause
    j vad_fault
    .size vad_trap, . - vad_trap
