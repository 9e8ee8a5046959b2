/* Dot products of pixels with weights by Helium: two pixels and four output channels at a time.
 *
 *     void vad_mve_dots_<layout>_<finish>(const vad_mve_dots_t *dots);
 *
 * vad_mve.h says what the arguments are. VMLADAV multiplies 16 inputs with 16 weights and adds them
 * up to one register: r0, r2, r4 and r6 hold the sums of pixel a, r8, r10, r12 and lr those of
 * pixel b (it takes even registers only). When all chunks are done they move to q0 and q1, a lane a
 * channel, and are requantized. A last odd pixel is its own partner.
 *
 * <layout>  rows:   a pixel's channels side by side
 *           planes: a channel's pixels side by side; the four channels are scattered
 * <finish>  relu or signed, the two requantizations of vad_mve.h
 */
    .syntax unified
    .thumb

/* The frame; it ends with the arguments. */
    .set WEIGHTS, 0             /* of these four channels */
    .set ADVANCE, 4             /* bytes from the end of a pixel's chunks to the pixel after next */
    .set TO_B, 8                /* bytes from output pixel a to b; 0: b is a */
    .set ARGUMENTS, 16
    .set PIXELS, 16
    .set PIXEL_BYTES, 20
    .set COUNT, 24
    .set OUT, 28
    .set PIXEL_STEP, 32
    .set PLANE, 36
    .set STREAM, 40
    .set CHANNELS, 44
    .set CHUNKS, 48
    .set ZERO_POINT, 52
    .set FRAME, 60              /* with what is saved a multiple of 8 */

/* A chunk of both pixels with four channels: vmladav starts the sums, vmladava adds to them. */
    .macro chunk dot
    vldrb.u8    q2, [r3], #16
    vldrb.u8    q3, [r5], #16
    vldrw.u32   q0, [r1], #16
    vldrw.u32   q1, [r1], #16
    \dot\().s8  r0, q0, q2
    \dot\().s8  r8, q0, q3
    \dot\().s8  r2, q1, q2
    \dot\().s8  r10, q1, q3
    vldrw.u32   q0, [r1], #16
    vldrw.u32   q1, [r1], #16
    \dot\().s8  r4, q0, q2
    \dot\().s8  r12, q0, q3
    \dot\().s8  r6, q1, q2
    \dot\().s8  lr, q1, q3
    .endm

    .macro ties_relu
    .endm

    .macro ties_signed
    vshr.s32    q2, q0, #31
    vshr.s32    q3, q1, #31
    vadd.i32    q0, q0, q2
    vadd.i32    q1, q1, q3
    .endm

/* r7: output pixel a; r6: output pixel b. */
    .macro store_rows
    vpst
    vstrbt.32   q0, [r7]
    vshr.u32    q0, q0, #16
    vpst
    vstrbt.32   q0, [r6]
    .endm

    .macro store_planes
    vpst
    vstrbt.32   q0, [r7, q4]
    vshr.u32    q0, q0, #16
    vpst
    vstrbt.32   q0, [r6, q4]
    .endm

    .macro dots layout, finish
    .section .text.vad_mve_dots_\layout\()_\finish, "ax", %progbits
    .balign 4
    .global vad_mve_dots_\layout\()_\finish
    .type   vad_mve_dots_\layout\()_\finish, %function
    .thumb_func
vad_mve_dots_\layout\()_\finish:
    push    {r4-r11, lr}
    vpush   {d8-d15}
    sub     sp, sp, #FRAME
    ldm     r0, {r1-r10}
    add     r11, sp, #ARGUMENTS
    stm     r11, {r1-r10}               /* r2 PIXEL_BYTES, r6 PLANE, r9 CHUNKS */
    lsl     r2, r2, #1
    sub     r2, r2, r9, lsl #4
    str     r2, [sp, #ADVANCE]
    .ifc \layout, planes
    vdup.32 q4, r6                      /* 0, 1, 2, 3 times the plane */
    mov     r0, #0
    vidup.u32 q5, r0, #1
    vmul.i32 q4, q4, q5
    .endif

.Lchannels_\layout\()_\finish:
    ldr     r0, [sp, #CHANNELS]
    vctp.32 r0
    ldr     r1, [sp, #STREAM]
    vldrw.u32   q5, [r1], #16           /* biases */
    vldrw.u32   q6, [r1], #16           /* multipliers */
    vldrw.u32   q7, [r1], #16           /* shifts */
    ldr     r0, [sp, #CHUNKS]
    add     r9, r1, r0, lsl #6          /* the end of the weights */
    str     r1, [sp, #WEIGHTS]
    str     r9, [sp, #STREAM]
    ldrd    r3, r5, [sp, #PIXELS]       /* and PIXEL_BYTES */
    add     r5, r5, r3
    ldrd    r7, r0, [sp, #OUT]          /* and PIXEL_STEP */
    str     r0, [sp, #TO_B]
    ldr     r0, [sp, #COUNT]
    lsrs    r11, r0, #1                 /* pairs of pixels */
    beq     .Lalone_\layout\()_\finish

.Lpixels_\layout\()_\finish:
    chunk   vmladav
    cmp     r1, r9
    beq     .Lfinish_\layout\()_\finish
.Lchunks_\layout\()_\finish:
    chunk   vmladava
    cmp     r1, r9
    bne     .Lchunks_\layout\()_\finish
.Lfinish_\layout\()_\finish:
    vmov    q0[2], q0[0], r0, r4
    vmov    q0[3], q0[1], r2, r6
    vmov    q1[2], q1[0], r8, r12
    vmov    q1[3], q1[1], r10, lr
    vadd.i32 q0, q0, q5
    vadd.i32 q1, q1, q5
    vqrdmulh.s32 q0, q0, q6
    vqrdmulh.s32 q1, q1, q6
    ties_\finish
    vrshl.s32 q0, q0, q7
    vrshl.s32 q1, q1, q7
    ldrd    r1, r2, [sp, #WEIGHTS]       /* and ADVANCE */
    ldr     r4, [sp, #TO_B]
    .ifc \finish, relu
    mvn     r0, #127
    .else
    ldr     r0, [sp, #ZERO_POINT]
    .endif
    vqmovnb.s32 q0, q0                  /* a's and b's channels in turns */
    vqmovnt.s32 q0, q1
    add     r6, r7, r4
    vqadd.s16 q0, q0, r0
    add     r3, r3, r2
    add     r5, r5, r2
    vqmovnb.s16 q0, q0
    store_\layout
    add     r7, r6, r4
    subs    r11, r11, #1
    bne     .Lpixels_\layout\()_\finish
    cbz     r4, .Ldone_\layout\()_\finish

.Lalone_\layout\()_\finish:
    ldr     r0, [sp, #COUNT]
    ands    r11, r0, #1
    beq     .Ldone_\layout\()_\finish
    mov     r5, r3
    mov     r0, #0
    str     r0, [sp, #TO_B]
    b       .Lpixels_\layout\()_\finish

.Ldone_\layout\()_\finish:
    ldr     r0, [sp, #OUT]
    ldr     r1, [sp, #PLANE]
    add     r0, r0, r1, lsl #2
    str     r0, [sp, #OUT]
    ldr     r0, [sp, #CHANNELS]
    subs    r0, r0, #4
    str     r0, [sp, #CHANNELS]
    bgt     .Lchannels_\layout\()_\finish
    add     sp, sp, #FRAME
    vpop    {d8-d15}
    pop     {r4-r11, pc}
    .size   vad_mve_dots_\layout\()_\finish, . - vad_mve_dots_\layout\()_\finish
    .endm

    dots    rows, relu
    dots    rows, signed
    dots    planes, relu
    dots    planes, signed
