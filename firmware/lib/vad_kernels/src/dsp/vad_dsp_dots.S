/* Dot products of pixels with weights, two pixels and two output channels at a time.
 *
 *     void vad_dsp_dots_<quads>_<finish>(const vad_dsp_dots_t *dots);
 *
 * vad_dsp.h says what the arguments are. The loop over pairs of pixels keeps four sums in
 * r0-r3 (pixels a and b with the first channel, then with the second). One LDM reads a quad (four
 * inputs) of both pixels, one LDM four weights of both channels, and 8 SMLAD do the 16 products.
 * All 14 registers are taken: what else a pair of channels needs lies in a frame at sp, and one LDM
 * fetches it when the products are done.
 *
 * <quads>   of the input channels: 2, 4, 6, 7 or 8 are unrolled, `any` jumps into a loop of eight.
 * <finish>  planes: short requantization to int16 planes
 *           rows:   short requantization to int8 rows
 *           signed: signed requantization to int8 rows (both in vad_dsp.h)
 */
    .syntax unified
    .thumb

/* The frame. Its first nine words are fetched together, the last eight are arguments. */
    .set CHANNELS, 0            /* multiplier, constant, multiplier, constant */
    .set SHIFTS, 16
    .set STEP, 20
    .set OUT, 24
    .set STOP, 28               /* end of the pairs of pixels of this pass */
    .set WEIGHTS, 32            /* four biases, then weights of both channels as int16 */
    .set WEIGHTS_END, 36
    .set ENTRY, 40              /* `any`: where its loop is entered */
    .set PIXELS, 44
    .set PIXELS_WHOLE, 48
    .set PIXELS_END, 52
    .set PIXEL_STEP, 56
    .set OUT_BASE, 60
    .set OUT_NEXT, 64
    .set STREAM, 68
    .set COUNT, 72
    .set FRAME, 76              /* with nine saved registers a multiple of 8 */

/* 16 products. */
    .macro quad
    ldm     r12!, {r4-r7}
    ldm     lr!, {r8-r11}
    smlad   r0, r4, r8, r0
    smlad   r1, r6, r8, r1
    smlad   r2, r4, r10, r2
    smlad   r3, r6, r10, r3
    smlad   r0, r5, r9, r0
    smlad   r1, r7, r9, r1
    smlad   r2, r5, r11, r2
    smlad   r3, r7, r11, r3
    .endm

    .macro products quads, finish
    ldm     lr!, {r0-r3}
    .ifc \quads, any
    ldr     pc, [sp, #ENTRY]
.Lround_\finish:
    .rept 8
    quad
    .endr
    ldr     r4, [sp, #WEIGHTS_END]
    cmp     lr, r4
    bne     .Lround_\finish
    .else
    .rept \quads
    quad
    .endr
    .endif
    .endm

    .macro short_sums saturate
    ldm     sp, {r4-r11, lr}
    smmla   r0, r0, r4, r5
    smmla   r1, r1, r4, r5
    smmla   r2, r2, r6, r7
    smmla   r3, r3, r6, r7
    \saturate r0, #8, r0, asr #8
    \saturate r1, #8, r1, asr #8
    \saturate r2, #8, r2, asr #8
    \saturate r3, #8, r3, asr #8
    .endm

    .macro signed_sum sum, multiplier, constant
    lsl     \sum, \sum, #1
    smmlar  lr, \sum, \multiplier, \constant
    add     lr, lr, \sum, asr #31
    asr     lr, lr, r8
    ssat    \sum, #8, lr
    .endm

/* Leaves r9 the step, r10 the output, r11 the stop, lr the weights. */
    .macro finish_planes
    short_sums usat
    strh    r2, [r10, r9]
    strh    r0, [r10], #2
    strh    r3, [r10, r9]
    strh    r1, [r10], #2
    .endm

/* Pixel b first: where the last pixel stands alone the step is 0, and pixel a wins. */
    .macro store_rows
    strb    r1, [r10, r9]
    strb    r0, [r10], #1
    strb    r3, [r10, r9]
    strb    r2, [r10], #-1
    add     r10, r10, r9, lsl #1
    .endm

    .macro finish_rows
    short_sums ssat
    store_rows
    .endm

    .macro finish_signed
    ldm     sp, {r4-r11}
    signed_sum r0, r4, r5
    signed_sum r1, r4, r5
    lsr     r8, r8, #8
    signed_sum r2, r6, r7
    signed_sum r3, r6, r7
    ldr     lr, [sp, #WEIGHTS]
    store_rows
    .endm

/* Of two channels: r0 multiplier, r1 constant, r2 multiplier, r3 constant, r4 shifts, r5 and r6
 * biases. The short requantization's constants are packed. */
    .macro head_planes
    ldm     r12!, {r0, r2-r6}
    uxth    r1, r3
    lsr     r3, r3, #16
    .endm

    .macro head_rows
    ldm     r12!, {r0, r2-r6}
    sxth    r1, r3
    asr     r3, r3, #16
    .endm

    .macro head_signed
    ldm     r12!, {r0-r6}
    .endm

/* int8 weights from r12 to int16 at r8 .. r9. Those for the short requantization are stored plus
 * 128 and become scaled by 2^shift of their channel (r4: a byte each). */
    .macro widen_short finish
    mov     r6, #0x00800080
    lsr     r5, r4, #8
    lsl     r7, r6, r5
    lsl     r6, r6, r4
.Lwiden_\finish:
    ldrd    r0, r2, [r12], #8
    uxtb16  r1, r0, ror #8
    uxtb16  r0, r0
    uxtb16  r3, r2, ror #8
    uxtb16  r2, r2
    lsl     r0, r0, r4
    lsl     r1, r1, r4
    lsl     r2, r2, r5
    lsl     r3, r3, r5
    ssub16  r0, r0, r6
    ssub16  r1, r1, r6
    ssub16  r2, r2, r7
    ssub16  r3, r3, r7
    stm     r8!, {r0-r3}
    cmp     r8, r9
    bne     .Lwiden_\finish
    .endm

    .macro widen_signed finish
.Lwiden_\finish:
    ldrd    r0, r2, [r12], #8
    sxtb16  r1, r0, ror #8
    sxtb16  r0, r0
    sxtb16  r3, r2, ror #8
    sxtb16  r2, r2
    stm     r8!, {r0-r3}
    cmp     r8, r9
    bne     .Lwiden_\finish
    .endm

    .macro dots quads, finish, widen
    .section .text.vad_dsp_dots_\quads\()_\finish, "ax", %progbits
    .balign 4
    .global vad_dsp_dots_\quads\()_\finish
    .type   vad_dsp_dots_\quads\()_\finish, %function
    .thumb_func
vad_dsp_dots_\quads\()_\finish:
    push    {r4-r11, lr}
    sub     sp, sp, #FRAME
    ldm     r0, {r1-r10}
    add     r12, sp, #PIXELS
    stm     r12, {r1-r8}                /* r2 PIXELS_WHOLE, r4 PIXEL_STEP */
    str     r4, [sp, #STEP]
    str     r2, [sp, #STOP]
    strd    r9, r10, [sp, #WEIGHTS]
    mov     r12, r7                     /* the stream */
    .ifc \quads, any
    sub     r8, r10, r9
    sub     r8, r8, #16 + 16            /* the biases, and one quad */
    ubfx    r8, r8, #4, #3              /* quads of the first round less one: the odd ones, or 8 */
    rsb     r8, r8, #7                  /* quads that it skips */
    mov     r0, #40                     /* bytes of a quad's code */
    adr     r1, .Lround_\quads\()_\finish
    mla     r8, r8, r0, r1
    add     r8, r8, #1                  /* Thumb */
    str     r8, [sp, #ENTRY]
    .endif

.Lchannels_\quads\()_\finish:
    head_\finish
    stm     sp, {r0-r4}                 /* CHANNELS, SHIFTS; r5 and r6 are the biases */
    ldrd    r8, r9, [sp, #WEIGHTS]      /* and WEIGHTS_END */
    strd    r5, r5, [r8], #8
    strd    r6, r6, [r8], #8
    \widen  \quads\()_\finish
    str     r12, [sp, #STREAM]
    ldrd    r0, r1, [sp, #OUT_BASE]
    str     r0, [sp, #OUT]
    add     r0, r0, r1
    str     r0, [sp, #OUT_BASE]
    ldrd    r12, r0, [sp, #PIXELS]
    ldr     lr, [sp, #WEIGHTS]
    .ifnc \finish, planes
    ldr     r1, [sp, #PIXEL_STEP]
    str     r1, [sp, #STEP]
    str     r0, [sp, #STOP]
    cmp     r12, r0
    beq     .Lalone_\quads\()_\finish
    .endif

.Lpixels_\quads\()_\finish:
    products \quads, \quads\()_\finish
    finish_\finish
    str     r10, [sp, #OUT]
    cmp     r12, r11
    bne     .Lpixels_\quads\()_\finish

    .ifnc \finish, planes
.Lalone_\quads\()_\finish:
    ldr     r0, [sp, #PIXELS_END]
    cmp     r12, r0
    beq     .Ldone_\quads\()_\finish
    mov     r1, #0
    str     r1, [sp, #STEP]
    str     r0, [sp, #STOP]
    b       .Lpixels_\quads\()_\finish
.Ldone_\quads\()_\finish:
    .endif

    ldrd    r12, r0, [sp, #STREAM]      /* and COUNT */
    subs    r0, r0, #1
    str     r0, [sp, #COUNT]
    bne     .Lchannels_\quads\()_\finish
    add     sp, sp, #FRAME
    pop     {r4-r11, pc}
    .size   vad_dsp_dots_\quads\()_\finish, . - vad_dsp_dots_\quads\()_\finish
    .endm

    dots    2, planes, widen_short
    dots    4, planes, widen_short
    dots    6, planes, widen_short
    dots    7, planes, widen_short
    dots    8, planes, widen_short
    dots    any, planes, widen_short
    dots    2, rows, widen_short
    dots    4, rows, widen_short
    dots    6, rows, widen_short
    dots    8, rows, widen_short
    dots    any, rows, widen_short
    dots    any, signed, widen_signed

/* uint32_t *vad_dsp_widen(const int8_t *in, uint32_t channels, uint32_t n_pairs, uint32_t *pixels)
 *
 * r0 walks over pixel a, r12 over pixel b; a ends at lr, where b starts. */
    .section .text.vad_dsp_widen, "ax", %progbits
    .balign 4
    .global vad_dsp_widen
    .type   vad_dsp_widen, %function
    .thumb_func
vad_dsp_widen:
    cbz     r2, .Lnone
    push    {r4-r11, lr}
.Lpixels:
    add     r12, r0, r1
    mov     lr, r12
    tst     r1, #4
    beq     .Leight
    ldr     r4, [r0], #4
    ldr     r6, [r12], #4
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sxtb16  r7, r6, ror #8
    sxtb16  r6, r6
    stm     r3!, {r4-r7}
    cmp     r0, lr
    beq     .Lnext
.Leight:
    ldrd    r4, r8, [r0], #8
    ldrd    r6, r10, [r12], #8
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sxtb16  r7, r6, ror #8
    sxtb16  r6, r6
    sxtb16  r9, r8, ror #8
    sxtb16  r8, r8
    sxtb16  r11, r10, ror #8
    sxtb16  r10, r10
    stm     r3!, {r4-r11}
    cmp     r0, lr
    bne     .Leight
.Lnext:
    mov     r0, r12
    subs    r2, r2, #1
    bne     .Lpixels
    mov     r0, r3
    pop     {r4-r11, pc}
.Lnone:
    mov     r0, r3
    bx      lr
    .size   vad_dsp_widen, . - vad_dsp_widen

/* void vad_dsp_widen_stem(const int8_t *const *rows, uint32_t step, uint32_t n_pixels,
 *                         uint32_t *to, uint32_t is_b)
 *
 * r0-r2 walk along the rows, r3 is where a pixel's quads go, 16 bytes apart. From pixel a to its b
 * are 8 bytes (r11), from there to the next pair the rest of 7 quads. The ninth inputs of the rows
 * are the seventh quad. */
    .macro stem_line row, at, last
    ldr     r6, [\row]
    ldr     r7, [\row, #4]
    ldrsb   \last, [\row, #8]
    add     \row, \row, r4
    sxtb16  r8, r6
    sxtb16  r9, r6, ror #8
    strd    r8, r9, [r3, #\at]
    sxtb16  r8, r7
    sxtb16  r9, r7, ror #8
    strd    r8, r9, [r3, #\at + 16]
    .endm

    .section .text.vad_dsp_widen_stem, "ax", %progbits
    .balign 4
    .global vad_dsp_widen_stem
    .type   vad_dsp_widen_stem, %function
    .thumb_func
vad_dsp_widen_stem:
    push    {r4-r11, lr}
    mov     r4, r1                      /* the step along the rows */
    mov     r5, r2
    ldr     r11, [sp, #36]
    cmp     r11, #0
    ite     eq
    moveq   r11, #8
    movne   r11, #7 * 16 - 8
    ldm     r0, {r0-r2}
.Lstem:
    stem_line r0, 0, r10
    stem_line r1, 32, r12
    stem_line r2, 64, lr
    pkhbt   r8, r10, lr, lsl #16
    uxth    r9, r12
    strd    r8, r9, [r3, #96]
    add     r3, r3, r11
    rsb     r11, r11, #7 * 16
    subs    r5, r5, #1
    bne     .Lstem
    pop     {r4-r11, pc}
    .size   vad_dsp_widen_stem, . - vad_dsp_widen_stem
