/* Start-up of an emulated LX106: vectors, stack, data, main, exit code. */
    .section .text.start, "ax"
    .globl vad_reset
    .type vad_reset, @function
vad_reset:
    j begin
    .size vad_reset, . - vad_reset

    /* Where the core looks behind VECBASE: `break`, and exceptions of three kinds. */
    .org 0x10
    j vad_break
    .org 0x30
    j vad_trap
    .org 0x50
    j vad_trap
    .org 0x70
    j vad_trap

    .balign 4
    .literal_position
    .type begin, @function
begin:
    movi a2, vad_reset
    wsr.vecbase a2
    movi a2, 0 /* exceptions and `break` are taken; no interrupt is enabled */
    wsr.ps a2
    rsync
    movi a1, vad_stack_top
    movi a0, vad_start
    jx a0
    .size begin, . - begin

    /* What GCC makes of a trap: reported like an illegal instruction. */
    .type vad_break, @function
vad_break:
    movi a2, 0
    j fault
    .size vad_break, . - vad_break

    .type vad_trap, @function
vad_trap:
    rsr.exccause a2
fault:
    movi a1, vad_stack_top
    movi a0, vad_fault
    jx a0
    .size vad_trap, . - vad_trap
