/* Dot products of pixels with weights by Helium into planes: two output channels at a time, whose
 * weights stay in registers, and their pixels side by side.
 *
 *     void vad_mve_dots_<bytes>(const vad_mve_dots_t *dots);
 *
 * vad_mve.h says what the arguments are. <bytes> lie from a pixel to the next: 8 and 16 are one
 * chunk, whose pixels go by eight and then by four, 24 and 32 are two. The requantization is "relu".
 * Pixels that are no whole four at the end are done once more together with some before them.
 */
    .syntax unified
    .thumb

/* The frame; it ends with the arguments. */
    .set EIGHTS, 0              /* of pixels */
    .set FOURS, 4               /* whole ones behind them */
    .set BACK, 8                /* pixels to step back for the last four; 0: there is none */
    .set ARGUMENTS, 12
    .set PIXELS, 12
    .set COUNT, 20
    .set OUT, 24
    .set PLANE, 32
    .set STREAM, 36
    .set CHANNELS, 40
    .set FRAME, 52              /* with what is saved a multiple of 8 */

/* Sums of pixels i and j with both channels to lanes `low` and `low` + 2 of the registers `first`
 * and `second`. */
    .macro sums_1 bytes, i, j, first, second, low, high
    vldrw.u32   q2, [r12, #\bytes * \i]
    vldrw.u32   q3, [r12, #\bytes * \j]
    vmladav.s8  r0, q2, q0
    vmladav.s8  r2, q3, q0
    vmladav.s8  r4, q2, q1
    vmladav.s8  r6, q3, q1
    vmov        \first\()[\high], \first\()[\low], r0, r2
    vmov        \second\()[\high], \second\()[\low], r4, r6
    .endm

    .macro sums_2 bytes, i, j, first, second, low, high
    vldrw.u32   q5, [r12, #\bytes * \i]
    vldrw.u32   q7, [r12, #\bytes * \i + 16]
    vmladav.s8  r0, q5, q0
    vmladav.s8  r4, q5, q2
    vldrw.u32   q5, [r12, #\bytes * \j]
    vmladava.s8 r0, q7, q1
    vmladava.s8 r4, q7, q3
    vldrw.u32   q7, [r12, #\bytes * \j + 16]
    vmladav.s8  r2, q5, q0
    vmladav.s8  r6, q5, q2
    vmladava.s8 r2, q7, q1
    vmladava.s8 r6, q7, q3
    vmov        \first\()[\high], \first\()[\low], r0, r2
    vmov        \second\()[\high], \second\()[\low], r4, r6
    .endm

/* r3, r5, r8: bias, multiplier and shift of the first channel; r9-r11: of the second. */
    .macro scale_first sums
    vadd.i32    \sums, \sums, r3
    vqrdmulh.s32 \sums, \sums, r5
    vrshl.s32   \sums, r8
    .endm

    .macro scale_second sums
    vadd.i32    \sums, \sums, r9
    vqrdmulh.s32 \sums, \sums, r10
    vrshl.s32   \sums, r11
    .endm

/* Eight pixels; q4 and q5 hold the even and the odd ones of the first channel. */
    .macro eight bytes
    sums_1      \bytes, 0, 4, q4, q6, 0, 2
    sums_1      \bytes, 2, 6, q4, q6, 1, 3
    sums_1      \bytes, 1, 5, q5, q7, 0, 2
    sums_1      \bytes, 3, 7, q5, q7, 1, 3
    scale_first q4
    scale_first q5
    mvn         r0, #127
    vqmovnb.s32 q4, q4
    scale_second q6
    vqmovnt.s32 q4, q5
    scale_second q7
    vqadd.s16   q4, q4, r0
    vqmovnb.s32 q6, q6
    add         r12, r12, #8 * \bytes
    vqmovnt.s32 q6, q7
    vqmovnb.s16 q4, q4
    vqadd.s16   q6, q6, r0
    vstrb.16    q4, [r1], #8
    vqmovnb.s16 q6, q6
    vstrb.16    q6, [r7], #8
    .endm

/* Four pixels. */
    .macro four chunks, bytes
    sums_\chunks \bytes, 0, 2, q4, q6, 0, 2
    sums_\chunks \bytes, 1, 3, q4, q6, 1, 3
    scale_first q4
    scale_second q6
    mvn         r0, #127
    vqmovnb.s32 q4, q4                  /* both channels in turns */
    vqmovnt.s32 q4, q6
    add         r12, r12, #4 * \bytes
    vqadd.s16   q4, q4, r0
    vqmovnb.s16 q4, q4
    vstrb.32    q4, [r1], #4
    vshr.u32    q4, q4, #16
    vstrb.32    q4, [r7], #4
    .endm

    .macro dots bytes, chunks
    .section .text.vad_mve_dots_\bytes, "ax", %progbits
    .balign 4
    .global vad_mve_dots_\bytes
    .type   vad_mve_dots_\bytes, %function
    .thumb_func
vad_mve_dots_\bytes:
    push    {r4-r11, lr}
    vpush   {d8-d15}
    sub     sp, sp, #FRAME
    ldm     r0, {r1-r10}
    add     r11, sp, #ARGUMENTS
    stm     r11, {r1-r10}               /* r3 COUNT, r7 STREAM */
    mov     r4, r7                      /* the stream */
    rsb     r2, r3, #0
    and     r2, r2, #3
    str     r2, [sp, #BACK]
    .ifeq \chunks - 1
    lsr     r0, r3, #3
    ubfx    r1, r3, #2, #1
    strd    r0, r1, [sp, #EIGHTS]       /* and FOURS */
    .else
    lsr     r1, r3, #2
    str     r1, [sp, #FOURS]
    .endif

.Lchannels_\bytes:
    vldrw.u32   q0, [r4], #16
    vldrw.u32   q1, [r4], #16
    .ifeq \chunks - 2
    vldrw.u32   q2, [r4], #16
    vldrw.u32   q3, [r4], #16
    .endif
    ldm     r4!, {r3, r5, r8-r11}
    str     r4, [sp, #STREAM]
    ldr     r12, [sp, #PIXELS]
    ldr     r1, [sp, #OUT]
    ldr     r7, [sp, #PLANE]
    add     r7, r7, r1
    .ifeq \chunks - 1
    ldr     r0, [sp, #EIGHTS]
    wls     lr, r0, .Lfours_\bytes
.Leight_\bytes:
    eight   \bytes
    le      lr, .Leight_\bytes
    .endif

.Lfours_\bytes:
    ldr     r0, [sp, #FOURS]
    wls     lr, r0, .Lback_\bytes
.Lfour_\bytes:
    four    \chunks, \bytes
    le      lr, .Lfour_\bytes

.Lback_\bytes:
    ldr     r0, [sp, #BACK]
    cmp     r0, #0
    beq     .Lnext_\bytes
    mov     r2, #\bytes
    mls     r12, r0, r2, r12
    sub     r1, r1, r0
    sub     r7, r7, r0
    four    \chunks, \bytes

.Lnext_\bytes:
    ldr     r4, [sp, #STREAM]
    ldr     r0, [sp, #OUT]
    ldr     r1, [sp, #PLANE]
    add     r0, r0, r1, lsl #1
    str     r0, [sp, #OUT]
    ldr     r0, [sp, #CHANNELS]
    subs    r0, r0, #2
    str     r0, [sp, #CHANNELS]
    bne     .Lchannels_\bytes
    add     sp, sp, #FRAME
    vpop    {d8-d15}
    pop     {r4-r11, pc}
    .size   vad_mve_dots_\bytes, . - vad_mve_dots_\bytes
    .endm

    dots    8, 1
    dots    16, 1
    dots    24, 2
    dots    32, 2
