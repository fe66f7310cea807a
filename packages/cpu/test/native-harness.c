// Runs single instructions on this machine's processor: reads records from argv[1], writes results to argv[2].
// Linux x86-64 only. 32-bit records run in compatibility mode, through a far jump to the kernel's 32-bit code segment.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct record {
  uint8_t length, bits, code[30];
  uint64_t registers[16], flags, seed;
  uint64_t patch, patch_offset; // 8 bytes written into the region; offset above 248: none
};
struct result {
  uint64_t registers[16], flags;
  uint32_t status, signal; // status: 0 fell through, 1 branch taken, 2 signal
  uint8_t memory[256];
};

#define DATA 0x10000000ul
#define REGION (DATA + 0x800)
#define CODE 0x20000000ul
#define FRAME (CODE + 0x1000) // saved rsp, registers, flags, status, far pointers
#define RSP_AT FRAME
#define REGS_AT (FRAME + 0x10)
#define FLAGS_AT (FRAME + 0x90)
#define STATUS_AT (FRAME + 0x98)
#define FAR_AT (FRAME + 0xa0)
#define TEST (CODE + 0x2000)
#define TAKEN_OFFSET 0x60

static uint8_t *out;
static void b(uint8_t x) { *out++ = x; }
static void d(uint32_t x) { memcpy(out, &x, 4); out += 4; }
static void op_abs(uint8_t rex, uint8_t opcode, int reg, uint32_t address) {
  b(rex | ((reg & 8) ? 4 : 0));
  b(opcode);
  b(0x04 | ((reg & 7) << 3));
  b(0x25);
  d(address);
}
static void save_all(int status) {
  for (int r = 0; r < 16; r++) op_abs(0x48, 0x89, r, REGS_AT + 8 * r);
  op_abs(0x48, 0x8b, 4, RSP_AT);
  b(0x9c);                                                 // pushfq
  b(0x8f); b(0x04); b(0x25); d(FLAGS_AT);                  // pop [flags]
  b(0xfc);                                                 // cld
  b(0xc7); b(0x04); b(0x25); d(STATUS_AT); d(status);      // mov dword [status],n
  b(0x41); b(0x5f); b(0x41); b(0x5e); b(0x41); b(0x5d); b(0x41); b(0x5c); b(0x5d); b(0x5b); b(0xc3);
}
static uint8_t *entry64, *entry32, *exits[3];
static uint32_t far32[2] = {(uint32_t)TEST, 0x23};

static void build(void) {
  out = (uint8_t *)CODE;
  for (int i = 0; i < 3; i++) { exits[i] = out; save_all(i); }
  for (int wide = 1; wide >= 0; wide--) {
    if (wide) entry64 = out; else entry32 = out;
    b(0x53); b(0x55); b(0x41); b(0x54); b(0x41); b(0x55); b(0x41); b(0x56); b(0x41); b(0x57);
    op_abs(0x48, 0x89, 4, RSP_AT);
    if (!wide) { b(0xb8); d(0x2b); b(0x8e); b(0xd8); b(0x8e); b(0xc0); } // mov eax,2b; mov ds,eax; mov es,eax
    b(0xff); b(0x34); b(0x25); d(FLAGS_AT); // push [flags]
    b(0x9d);                                // popfq
    for (int r = 0; r < 16; r++) op_abs(0x48, 0x8b, r, REGS_AT + 8 * r);
    if (wide) { b(0xe9); d((uint32_t)(TEST - (uint64_t)(out + 4))); }
    else { b(0xff); b(0x2c); b(0x25); d(FAR_AT); } // jmp far [far32]
  }
  memcpy((void *)FAR_AT, far32, sizeof far32);
}

static volatile int caught;
static void handler(int n, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *u = context;
  caught = n;
  u->uc_mcontext.gregs[REG_RIP] = (greg_t)exits[2];
  u->uc_mcontext.gregs[REG_EFL] &= ~0x40500;
  // cs (low word) back to 64-bit code, ss stays flat
  u->uc_mcontext.gregs[REG_CSGSFS] = (u->uc_mcontext.gregs[REG_CSGSFS] & ~0xffffL) | 0x33;
}

static void leave_to(uint8_t *at, int bits, int which) {
  out = at;
  if (bits == 64) { b(0xe9); d((uint32_t)((uint64_t)exits[which] - (uint64_t)(out + 4))); }
  else { b(0xea); d((uint32_t)(uint64_t)exits[which]); b(0x33); b(0); }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  FILE *in = fopen(argv[1], "rb"), *to = fopen(argv[2], "wb");
  if (!in || !to) return 2;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap((void *)DATA, 0x1000, 3, flags, -1, 0) != (void *)DATA) return 3;
  if (mmap((void *)CODE, 0x3000, 7, flags, -1, 0) != (void *)CODE) return 3;
  static uint8_t stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, NULL);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);
  build();
  struct record record;
  while (fread(&record, sizeof record, 1, in) == 1) {
    memset((void *)DATA, 0, 0x1000);
    uint64_t x = record.seed;
    for (int i = 0; i < 32; i++) {
      x ^= x << 13; x ^= x >> 7; x ^= x << 17;
      memcpy((void *)(REGION + 8 * i), &x, 8);
    }
    if (record.patch_offset <= 248) memcpy((void *)(REGION + record.patch_offset), &record.patch, 8);
    memcpy((void *)TEST, record.code, record.length);
    leave_to((uint8_t *)TEST + record.length, record.bits, 0);
    leave_to((uint8_t *)TEST + TAKEN_OFFSET, record.bits, 1);
    memcpy((void *)REGS_AT, record.registers, 128);
    memcpy((void *)FLAGS_AT, &record.flags, 8);
    caught = 0;
    ((void (*)(void))(record.bits == 64 ? entry64 : entry32))();
    struct result result;
    memcpy(result.registers, (void *)REGS_AT, 128);
    memcpy(&result.flags, (void *)FLAGS_AT, 8);
    memcpy(&result.status, (void *)STATUS_AT, 4);
    result.signal = caught;
    memcpy(result.memory, (void *)REGION, 256);
    fwrite(&result, sizeof result, 1, to);
  }
  return fclose(to) ? 4 : 0;
}
