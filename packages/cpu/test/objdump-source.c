// Compiled for both architectures at test time: a spread of what drivers contain.
#ifdef ARM
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() __builtin_ia32_pause()
#endif
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef struct entry { struct entry *next; volatile u64 lock; u8 irql; } entry;
extern void external(void *);
volatile u32 counter;

void acquire(volatile long *lock) {
  while (__atomic_fetch_or(lock, 1, __ATOMIC_ACQUIRE) & 1)
    while (*lock & 1) PAUSE();
}
void enqueue(entry *volatile *tail, entry *own) {
  entry *old = __atomic_exchange_n(tail, own, __ATOMIC_ACQ_REL);
  if (old) { old->next = own; while (own->lock & 1) PAUSE(); }
}
int exchange(u64 *target, u64 old, u64 next) {
  return __atomic_compare_exchange_n(target, &old, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
u64 arithmetic(u64 a, u64 b, long long c, int n) {
  u64 r = a * b + (a / (b | 1)) - (u64)(c % (n | 1));
  r ^= (a << (n & 63)) | (b >> (n & 31));
  r += __builtin_popcountll(a) + __builtin_clzll(b | 1) + __builtin_ctzll(a | 1);
  r = __builtin_bswap64(r) + (r < b) + (c > n ? 3 : r);
  return r * 7 + (short)n + (signed char)b;
}
int choose(int n, int x) {
  switch (n) {
    case 0: return x + 1; case 1: return x * 3; case 2: return x - 7; case 3: return ~x;
    case 4: return x << 3; case 5: return x >> 2; case 6: return -x; case 7: external(&x); return x;
    case 8: return x | 0x80000000; case 9: return x ^ 0x1234;
  }
  return 0;
}
void copy(u8 *to, const u8 *from, u64 n) { __builtin_memcpy(to, from, 512); while (n--) *to++ = *from++; }
double floats(double a, float b, int n) { return a * b + n - (double)(long long)a / (b + 1.5f); }
void vectors(float *a, const float *b, const int *c, int n) {
  for (int i = 0; i < n; i++) a[i] = a[i] * b[i] + (float)c[i];
}
u64 hash(const u16 *s, u64 n) {
  u64 h = 0xcbf29ce484222325ull;
  for (u64 i = 0; i < n; i++) { h ^= s[i]; h *= 0x100000001b3ull; counter++; }
  return h;
}
