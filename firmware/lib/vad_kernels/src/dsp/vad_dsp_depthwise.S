/* Depthwise windows over int16 planes: one output row, channel by channel.
 *
 *     void vad_dsp_depthwise_<size>_<stride>_<finish>(const vad_dsp_depthwise_t *depthwise);
 *
 * vad_dsp.h says what the arguments are. Four output pixels at a time have their sums in
 * r0-r3. Rows come as words of two pixels: SMLAD takes both, SMLABT and SMLATB one of them. Weights
 * are stored as (w0, w1), (w1, w2) and so on, so that a window may start at either pixel of a word.
 * 3x3: r10-r12 walk along the three rows; else the rows' pointers lie in the frame. lr points at the
 * channel's constants. A rest of one to three pixels is done two at a time.
 *
 * <finish>  short or signed, the two requantizations of vad_dsp.h
 */
    .syntax unified
    .thumb

/* The frame; it ends with the arguments. */
    .set PIXEL, 0               /* bytes from an output pixel to the next */
    .set STOP, 4                /* the output behind the whole fours */
    .set OUT, 8
    .set LEFT, 12               /* of the rest */
    .set ARGUMENTS, 16
    .set OUT_BASE, 16
    .set FOURS_BYTES, 20        /* of output in whole fours of pixels */
    .set REST, 24               /* pixels behind them */
    .set CONSTANTS_END, 28
    .set ROWS, 32               /* 3, 5 or 7 pointers, then the steps to their next planes */

/* --- Four pixels. init: the register that sums 1 to 3 start from; r0 holds the bias at first. */

    .macro row_3_1 i, x, s1=r1, s2=r2, s3=r3
    ldrd    r8, r9, [lr, #8 * \i]
    ldrd    r4, r5, [\x], #8
    ldr     r6, [\x]
    smlatb  r1, r4, r8, \s1
    smlad   r2, r5, r8, \s2
    smlatb  r3, r5, r8, \s3
    smlad   r0, r4, r8, r0
    smlad   r1, r5, r9, r1
    smlabt  r2, r6, r9, r2
    smlad   r3, r6, r9, r3
    smlabt  r0, r5, r9, r0
    .endm

    .macro row_3_2 i, x, s1=r1, s2=r2, s3=r3
    ldrd    r8, r9, [lr, #8 * \i]
    ldm     \x!, {r4-r7}
    smlad   r1, r5, r8, \s1
    smlad   r2, r6, r8, \s2
    smlad   r3, r7, r8, \s3
    smlad   r0, r4, r8, r0
    ldr     r4, [\x]
    smlabt  r0, r5, r9, r0
    smlabt  r1, r6, r9, r1
    smlabt  r2, r7, r9, r2
    smlabt  r3, r4, r9, r3
    .endm

/* What 5x5 and 7x7 share: at stride 1 the weights' pairs r8-r10 and the last one; at stride 2 the
 * first and the third, of the pixels that r4-r7 hold. */
    .macro first_1 s1, s2, s3
    smlatb  r1, r4, r8, \s1
    smlad   r2, r5, r8, \s2
    smlatb  r3, r5, r8, \s3
    smlad   r0, r4, r8, r0
    smlad   r1, r5, r9, r1
    smlad   r3, r6, r9, r3
    smlad   r0, r5, r10, r0
    smlad   r2, r6, r10, r2
    .endm

    .macro last_1 low, high, w
    smlabt  r0, \low, \w, r0
    smlad   r1, \low, \w, r1
    smlabt  r2, \high, \w, r2
    smlad   r3, \high, \w, r3
    .endm

    .macro first_2 third, s1, s2, s3
    smlad   r1, r5, r8, \s1
    smlad   r2, r6, r8, \s2
    smlad   r3, r7, r8, \s3
    smlad   r0, r4, r8, r0
    smlad   r0, r5, \third, r0
    smlad   r1, r6, \third, r1
    smlad   r2, r7, \third, r2
    .endm

    .macro row_5_1 i, s1=r1, s2=r2, s3=r3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldm     lr!, {r8-r11}
    ldrd    r4, r5, [r12], #8
    ldrd    r6, r7, [r12]
    str     r12, [sp, #ROWS + 4 * \i]
    first_1 \s1, \s2, \s3
    last_1  r6, r7, r11
    .endm

    .macro row_5_2 i, s1=r1, s2=r2, s3=r3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldm     lr!, {r8-r11}
    ldm     r12!, {r4-r7}
    first_2 r10, \s1, \s2, \s3
    ldrd    r4, r5, [r12]
    str     r12, [sp, #ROWS + 4 * \i]
    smlabt  r0, r6, r11, r0
    smlabt  r1, r7, r11, r1
    smlad   r3, r4, r10, r3
    smlabt  r2, r4, r11, r2
    smlabt  r3, r5, r11, r3
    .endm

    .macro row_7_1 i, s1=r1, s2=r2, s3=r3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldm     lr!, {r8-r10}
    ldm     r12, {r4-r7, r11}
    add     r12, r12, #8
    str     r12, [sp, #ROWS + 4 * \i]
    first_1 \s1, \s2, \s3
    ldm     lr!, {r8-r10}
    smlad   r1, r6, r8, r1
    smlad   r3, r7, r8, r3
    smlad   r0, r6, r9, r0
    smlad   r2, r7, r9, r2
    last_1  r7, r11, r10
    .endm

    .macro row_7_2 i, s1=r1, s2=r2, s3=r3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldr     r8, [lr]
    ldr     r9, [lr, #8]
    ldrd    r10, r11, [lr, #16]
    ldm     r12!, {r4-r7}
    add     lr, lr, #24
    first_2 r9, \s1, \s2, \s3
    smlad   r0, r6, r10, r0
    smlad   r1, r7, r10, r1
    ldrd    r4, r5, [r12]
    ldr     r6, [r12, #8]
    str     r12, [sp, #ROWS + 4 * \i]
    smlabt  r0, r7, r11, r0
    smlad   r3, r4, r9, r3
    smlad   r2, r4, r10, r2
    smlabt  r1, r4, r11, r1
    smlad   r3, r5, r10, r3
    smlabt  r2, r5, r11, r2
    smlabt  r3, r6, r11, r3
    .endm

/* --- Two pixels, with the parameters of four. */

    .macro rest_3_1 i, x, s1=r1, s2, s3
    ldrd    r8, r9, [lr, #8 * \i]
    ldrd    r4, r5, [\x], #4
    smlatb  r1, r4, r8, \s1
    smlad   r0, r4, r8, r0
    smlad   r1, r5, r9, r1
    smlabt  r0, r5, r9, r0
    .endm

    .macro rest_3_2 i, x, s1=r1, s2, s3
    ldrd    r8, r9, [lr, #8 * \i]
    ldrd    r4, r5, [\x], #8
    ldr     r6, [\x]
    smlad   r1, r5, r8, \s1
    smlad   r0, r4, r8, r0
    smlabt  r1, r6, r9, r1
    smlabt  r0, r5, r9, r0
    .endm

    .macro rest_1 s1
    smlatb  r1, r4, r8, \s1
    smlad   r0, r4, r8, r0
    smlad   r1, r5, r9, r1
    smlad   r0, r5, r10, r0
    .endm

    .macro rest_5_1 i, s1=r1, s2, s3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldm     lr!, {r8-r11}
    ldr     r4, [r12], #4
    ldrd    r5, r6, [r12]
    str     r12, [sp, #ROWS + 4 * \i]
    rest_1  \s1
    smlad   r1, r6, r11, r1
    smlabt  r0, r6, r11, r0
    .endm

    .macro rest_5_2 i, s1=r1, s2, s3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldm     lr!, {r8-r11}
    ldrd    r4, r5, [r12], #8
    ldrd    r6, r7, [r12]
    str     r12, [sp, #ROWS + 4 * \i]
    smlad   r1, r5, r8, \s1
    smlad   r0, r4, r8, r0
    smlad   r1, r6, r10, r1
    smlad   r0, r5, r10, r0
    smlabt  r1, r7, r11, r1
    smlabt  r0, r6, r11, r0
    .endm

    .macro rest_7_1 i, s1=r1, s2, s3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldm     lr!, {r8-r10}
    ldm     r12, {r4-r7}
    add     r12, r12, #4
    str     r12, [sp, #ROWS + 4 * \i]
    rest_1  \s1
    ldm     lr!, {r8-r10}
    smlad   r1, r6, r8, r1
    smlad   r0, r6, r9, r0
    smlad   r1, r7, r10, r1
    smlabt  r0, r7, r10, r0
    .endm

    .macro rest_7_2 i, s1=r1, s2, s3
    ldr     r12, [sp, #ROWS + 4 * \i]
    ldr     r8, [lr]
    ldr     r9, [lr, #8]
    ldrd    r10, r11, [lr, #16]
    ldm     r12, {r4-r7}
    add     lr, lr, #24
    smlad   r1, r5, r8, \s1
    smlad   r0, r4, r8, r0
    ldr     r4, [r12, #16]
    add     r12, r12, #8
    str     r12, [sp, #ROWS + 4 * \i]
    smlad   r1, r6, r9, r1
    smlad   r0, r5, r9, r0
    smlad   r1, r7, r10, r1
    smlad   r0, r6, r10, r0
    smlabt  r1, r4, r11, r1
    smlabt  r0, r7, r11, r0
    .endm

/* --- All rows of a window. r0-r3 (r0, r1) become the sums, lr points behind the weights. */

    .macro window size, kind, stride
    ldr     r0, [lr, #4 * \size * (\size - 1)]
    .ifc \size, 3
    \kind\()_3_\stride 0, r10, r0, r0, r0
    \kind\()_3_\stride 1, r11
    \kind\()_3_\stride 2, r12
    .else
    \kind\()_\size\()_\stride 0, r0, r0, r0
    .set    ROW, 1
    .rept   \size - 1
    \kind\()_\size\()_\stride ROW
    .set    ROW, ROW + 1
    .endr
    .endif
    .endm

/* --- Requantization, from the constants at lr + at: bias, multiplier, constant, shift. */

    .macro constants_short at
    ldrd    r4, r5, [lr, #\at + 4]
    .endm

    .macro finish_short sum
    smmla   \sum, \sum, r4, r5
    ssat    \sum, #8, \sum, asr #8
    .endm

    .macro constants_signed at
    ldrd    r4, r5, [lr, #\at + 4]
    ldr     r6, [lr, #\at + 12]
    .endm

    .macro finish_signed sum
    lsl     \sum, \sum, #1
    smmlar  r8, \sum, r4, r5
    add     r8, r8, \sum, asr #31
    asr     r8, r8, r6
    ssat    \sum, #8, r8
    .endm

/* The pointers of the rows go from the frame to registers, for 3x3; and to the next channel. */
    .macro rows_3
    ldrd    r10, r11, [sp, #ROWS]
    ldr     r12, [sp, #ROWS + 8]
    .endm

    .macro next_3
    ldrd    r4, r5, [sp, #ROWS + 12]
    ldr     r6, [sp, #ROWS + 20]
    add     r10, r10, r4
    add     r11, r11, r5
    add     r12, r12, r6
    .endm

    .macro next_frame size
    .set    ROW, 0
    .rept   \size
    ldr     r4, [sp, #ROWS + 4 * ROW]
    ldr     r5, [sp, #ROWS + 4 * (\size + ROW)]
    add     r4, r4, r5
    str     r4, [sp, #ROWS + 4 * ROW]
    .set    ROW, ROW + 1
    .endr
    .endm

    .macro depthwise size, stride, finish
    .ifc \size, 3
    .set WEIGHTS, 24
    .set BEHIND, 24             /* lr stays at the weights, the constants are behind them */
    .set FRAME, 60
    .else
    .set WEIGHTS, 4 * \size * (\size - 1)
    .set BEHIND, 0              /* lr walks over the weights */
    .set FRAME, 36 + 8 * \size
    .endif
    .ifc \finish, short
    .set CHANNEL, WEIGHTS + 12
    .else
    .set CHANNEL, WEIGHTS + 16
    .endif
    .section .text.vad_dsp_depthwise_\size\()_\stride\()_\finish, "ax", %progbits
    .balign 4
    .global vad_dsp_depthwise_\size\()_\stride\()_\finish
    .type   vad_dsp_depthwise_\size\()_\stride\()_\finish, %function
    .thumb_func
vad_dsp_depthwise_\size\()_\stride\()_\finish:
    push    {r4-r11, lr}
    sub     sp, sp, #FRAME
    ldm     r0!, {r1, lr}
    str     r1, [sp, #PIXEL]
    add     r12, sp, #ARGUMENTS
    ldm     r0!, {r1-r7}
    stm     r12!, {r1-r7}
    .ifc \size, 3
    ldm     r0, {r1-r3}
    stm     r12, {r1-r3}
    .else
    ldm     r0!, {r1-r7}
    stm     r12!, {r1-r7}
    .endif
    .ifc \size, 7
    ldm     r0, {r1-r4}
    stm     r12, {r1-r4}
    .endif
    .ifc \size, 3
    rows_3
    .endif

.Lchannel_\size\()_\stride\()_\finish:
    ldrd    r7, r5, [sp, #OUT_BASE]
    add     r4, r7, #1
    str     r4, [sp, #OUT_BASE]
    add     r4, r7, r5
    strd    r4, r7, [sp, #STOP]         /* and OUT */
    cmp     r5, #0
    beq     .Lrest_\size\()_\stride\()_\finish

.Lfour_\size\()_\stride\()_\finish:
    window  \size, row, \stride
    constants_\finish BEHIND
    finish_\finish r0
    finish_\finish r1
    finish_\finish r2
    finish_\finish r3
    ldm     sp, {r4-r6}                 /* PIXEL, STOP, OUT */
    strb    r0, [r6]
    strb    r1, [r6, r4]
    add     r6, r6, r4, lsl #1
    strb    r2, [r6]
    strb    r3, [r6, r4]
    add     r6, r6, r4, lsl #1
    str     r6, [sp, #OUT]
    .if BEHIND == 0
    sub     lr, lr, #WEIGHTS
    .endif
    cmp     r6, r5
    bne     .Lfour_\size\()_\stride\()_\finish

.Lrest_\size\()_\stride\()_\finish:
    ldr     r4, [sp, #REST]
    str     r4, [sp, #LEFT]
    cbnz    r4, .Ltwo_\size\()_\stride\()_\finish
.Lnext_\size\()_\stride\()_\finish:
    .ifc \size, 3
    next_3
    .else
    next_frame \size
    .endif
    add     lr, lr, #CHANNEL
    ldr     r4, [sp, #CONSTANTS_END]
    cmp     lr, r4
    bne     .Lchannel_\size\()_\stride\()_\finish
    add     sp, sp, #FRAME
    pop     {r4-r11, pc}

.Ltwo_\size\()_\stride\()_\finish:
    window  \size, rest, \stride
    constants_\finish BEHIND
    finish_\finish r0
    finish_\finish r1
    .if BEHIND == 0
    sub     lr, lr, #WEIGHTS
    .endif
    ldm     sp, {r4-r7}                 /* PIXEL, STOP, OUT, LEFT */
    strb    r0, [r6]
    subs    r7, r7, #2
    blt     .Lnext_\size\()_\stride\()_\finish
    strb    r1, [r6, r4]
    add     r6, r6, r4, lsl #1
    strd    r6, r7, [sp, #OUT]
    bne     .Ltwo_\size\()_\stride\()_\finish
    b       .Lnext_\size\()_\stride\()_\finish
    .size   vad_dsp_depthwise_\size\()_\stride\()_\finish, . - vad_dsp_depthwise_\size\()_\stride\()_\finish
    .endm

    .irp finish, short, signed
    depthwise 3, 1, \finish
    depthwise 3, 2, \finish
    depthwise 5, 1, \finish
    depthwise 5, 2, \finish
    depthwise 7, 1, \finish
    depthwise 7, 2, \finish
    .endr

/* void vad_dsp_spread(const int8_t *in, uint32_t channels, uint32_t n_pairs, int16_t *plane,
 *                     uint32_t plane_bytes)
 *
 * r3, r12, lr, r10 walk along the four planes; r0 ends at r11. */
    .macro spread_pair
    ldr     r4, [r0]
    ldr     r6, [r0, r1]
    add     r0, r0, r1, lsl #1
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sxtb16  r7, r6, ror #8
    sxtb16  r6, r6
    pkhbt   r8, r4, r6, lsl #16
    pkhtb   r6, r6, r4, asr #16
    pkhbt   r9, r5, r7, lsl #16
    pkhtb   r7, r7, r5, asr #16
    str     r8, [r3], #4
    str     r9, [r12], #4
    str     r6, [lr], #4
    str     r7, [r10], #4
    .endm

    .section .text.vad_dsp_spread, "ax", %progbits
    .balign 4
    .global vad_dsp_spread
    .type   vad_dsp_spread, %function
    .thumb_func
vad_dsp_spread:
    push    {r4-r11, lr}
    ldr     r4, [sp, #36]
    add     r12, r3, r4
    add     lr, r12, r4
    add     r10, lr, r4
    mul     r11, r1, r2
    add     r11, r0, r11, lsl #1
    tst     r2, #1
    beq     .Leven
    spread_pair
.Leven:
    cmp     r0, r11
    beq     .Lspread
.Ltwo_pairs:
    spread_pair
    spread_pair
    cmp     r0, r11
    bne     .Ltwo_pairs
.Lspread:
    pop     {r4-r11, pc}
    .size   vad_dsp_spread, . - vad_dsp_spread
