/** Builds images and PDBs with clang-19 and lld-link-19 from the sources below. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasTool } from './pdb-llvm.ts';

const CLANG = 'clang-19';
const LINK = 'lld-link-19';

/** Types of every shape that a kernel has, code with frames of several kinds, inlining. */
const DRIVER = `
typedef unsigned char UCHAR; typedef unsigned short USHORT; typedef unsigned long ULONG;
typedef unsigned long long ULONGLONG; typedef long long LONGLONG; typedef void *PVOID;
typedef struct _LIST_ENTRY { struct _LIST_ENTRY *Flink, *Blink; } LIST_ENTRY, *PLIST_ENTRY;
typedef union _MMPTE { ULONGLONG Long; struct { ULONGLONG Valid : 1; ULONGLONG Write : 1; ULONGLONG Owner : 10;
  ULONGLONG PageFrameNumber : 36; ULONGLONG Reserved : 16; } Hard; struct { ULONG Low, High; }; } MMPTE;
enum KOBJECTS { EventNotificationObject = 0, ThreadObject = 6, Negative = -3, Huge = 0x7fffffff };
enum Wide : unsigned long long { WideBig = 0xfedcba9876543210ull, WideOne = 1 };
enum Small : signed char { SmallMinus = -128, SmallPlus = 127 };
struct Unfinished;
struct Nested { int a; union { struct { UCHAR low, high; }; USHORT both; }; const volatile char *text; };
typedef int (*Callback)(struct Nested *, ULONG);
struct Everything {
  UCHAR flags : 3; UCHAR mode : 5; USHORT w; ULONG d; LONGLONG q; float f; double g; _Bool b;
  LIST_ENTRY links[2][3]; struct Nested nested; struct Unfinished *opaque; Callback callback; Callback table[4];
  enum KOBJECTS kind; MMPTE pte; PVOID pointers[5]; const struct Nested *const *chain; wchar_t name[16];
  struct { int x, y; } point; union { int i; float f; } anonymous;
};
`;
const C = (extra: string): string => `
#define wchar_t unsigned short
${DRIVER.replace(/enum (\w+) : [a-z ]+ \{/g, 'enum $1 {').replace('0xfedcba9876543210ull', '0x76543210')}
volatile struct Everything g_everything; static volatile int s_counter; volatile ULONG g_table[64];
LIST_ENTRY g_head = { &g_head, &g_head };
static __attribute__((always_inline)) int twice(int v) { s_counter += v; return v * 2; }
static __attribute__((always_inline)) int thrice(int v) {
  int t = twice(v);
  return t + v;
}
__attribute__((noinline)) int Leaf(int a) { return a + g_everything.d; }
__attribute__((noinline)) int Middle(int a, int b) {
  int local[8];
  for (int i = 0; i < 8; i++) local[i] = thrice(a + i) ^ b;
  return local[a & 7] + Leaf(local[b & 7]);
}
__attribute__((noinline)) static int Hidden(struct Everything *e, int n) {
  volatile char buffer[300]; buffer[n & 0xff] = 1;
  int r = e->nested.a + Middle(n, e->d) + buffer[3];
  return e->callback ? e->callback(&e->nested, r) : r;
}
${extra}
`;
const C_X86 = C(`
__attribute__((fastcall)) int FastOne(int a, int b) { return Middle(a, b) + 1; }
__attribute__((stdcall)) int StdOne(int a, int b, int c) { return Hidden((struct Everything *)&g_everything, a + b + c); }
__attribute__((stdcall)) int DriverEntry(void *a, void *b) { return StdOne((int)a, (int)b, 3) + FastOne(1, 2); }
`);
const C_64 = C('int DriverEntry(void *a, void *b) { return Hidden(a, (int)(long long)b) + Middle(1, 2); }');
const CPP = `
${DRIVER.replace(/_Bool/g, 'bool')}
namespace Outer { namespace { int hidden_in_namespace(int v) { return v * 7; } }
  template <class T, int N> struct Array { T items[N]; static int count; T &at(int i) { return items[i]; }
    template <class U> U cast(int i) const { return (U)items[i]; } };
  template <class T, int N> int Array<T, N>::count = N;
  class Base { public: virtual ~Base() {} virtual int method(int) = 0; int base_field; };
  class Other { public: virtual void other() {} long long other_field; };
  class Derived : public Base, public Other { public: int method(int v) override; Derived operator+(const Derived &o) const;
    operator int() const { return base_field; } static int statics; Array<Nested, 4> nested; int Base::*pm; int (Base::*pmf)(int); };
  int Derived::statics = 5;
  int Derived::method(int v) { static int calls; struct Local { int z; Wide w; Small s; } local = { v, WideOne, SmallPlus };
    return local.z + ++calls + nested.at(v & 3).a + hidden_in_namespace(v) + (int)local.w + local.s; }
  Derived Derived::operator+(const Derived &o) const { Derived r(o); r.base_field += base_field; return r; }
  void Variadic(const char *text, int (&array)[3], int &&moved, wchar_t, bool, ...) { (void)text; (void)array; (void)moved; }
  template <class... A> int pack(A... a) { return sizeof...(a); }
}
extern "C" int _purecall() { return 0; }
extern "C" { int _fltused; }
void *operator new(decltype(sizeof 0)) { return nullptr; } void operator delete(void *, decltype(sizeof 0)) noexcept {}
void operator delete(void *) noexcept {}
extern "C" void *memcpy(void *to, const void *from, decltype(sizeof 0) n) {
  for (decltype(sizeof 0) i = 0; i < n; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to; }
extern "C" void *memset(void *to, int v, decltype(sizeof 0) n) {
  for (decltype(sizeof 0) i = 0; i < n; i++) ((volatile char *)to)[i] = (char)v;
  return to; }
Everything g_everything_cpp; Outer::Array<int, 3> g_array;
extern "C" int DriverEntry(void *a, void *b) { Outer::Derived d, e; auto f = d + e; int x[3] = { 1, 2, 3 };
  Outer::Variadic("x", x, 4, L'x', true, 5); auto lambda = [&](int v) { return v + f.method(3); };
  return lambda(2) + Outer::pack(1, 2L, 'c', d) + g_array.cast<char>(1) + (int)d; }
`;
const ASM_X86 = `
.intel_syntax noprefix
.text
.globl _AsmLeaf@8
_AsmLeaf@8:
.cv_fpo_proc _AsmLeaf@8 8
  push ebx
.cv_fpo_pushreg ebx
  push esi
.cv_fpo_pushreg esi
  sub esp, 16
.cv_fpo_stackalloc 16
.cv_fpo_endprologue
  mov eax, [esp+28]
  add esp, 16
  pop esi
  pop ebx
  ret 8
.cv_fpo_endproc
.globl @AsmFast@4
@AsmFast@4:
.cv_fpo_proc @AsmFast@4 0
  push ebp
.cv_fpo_pushreg ebp
  mov ebp, esp
.cv_fpo_setframe ebp
.cv_fpo_endprologue
  pop ebp
  ret
.cv_fpo_endproc
.section .debug$S,"dr"
.long 4
.cv_fpo_data _AsmLeaf@8
.cv_fpo_data @AsmFast@4
`;

let available: boolean | undefined;
let root: string | undefined;
let built: string[] | undefined;

export function canBuild(): boolean {
  if (available === undefined) available = hasTool(CLANG) && hasTool(LINK);
  return available;
}

/** A folder that goes away with the process. */
export function workFolder(): string {
  if (root === undefined) {
    root = mkdtempSync(join(tmpdir(), 'dumpscope-pdb-'));
    const folder = root;
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  }
  return root;
}

const COMMON = [
  '-ffreestanding',
  '-fms-extensions',
  '-fno-stack-protector',
  '-fno-threadsafe-statics',
  '-mno-sse',
  '-w',
];

export interface Build {
  readonly name: string;
  readonly target: 'i686' | 'x86_64';
  readonly source: string;
  readonly language: 'c' | 'cpp';
  readonly compile: readonly string[];
  readonly link: readonly string[];
  readonly assembly?: string;
}

/** Returns the paths of the image and its PDB. */
export function build(what: Build): { image: string; pdb: string } {
  const folder = join(workFolder(), what.name);
  const image = join(folder, `${what.name}.sys`);
  const pdb = join(folder, `${what.name}.pdb`);
  if (existsSync(pdb)) return { image, pdb };
  mkdirSync(folder, { recursive: true });
  const file = `${what.name}.${what.language}`;
  writeFileSync(join(folder, file), what.source);
  const objects = [`${what.name}.obj`];
  const target = `--target=${what.target}-pc-windows-msvc`;
  const run = (tool: string, args: readonly string[]): void => {
    execFileSync(tool, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  };
  run(CLANG, [target, ...COMMON, ...what.compile, '-c', file, '-o', objects[0] ?? '']);
  if (what.assembly !== undefined) {
    writeFileSync(join(folder, 'part.s'), what.assembly);
    run(CLANG, [target, '-c', 'part.s', '-o', 'part.obj']);
    objects.push('part.obj');
  }
  const x86 = what.target === 'i686';
  const entry = x86 && what.language === 'c' ? 'DriverEntry@8' : 'DriverEntry';
  run(LINK, [
    '/driver',
    `/machine:${x86 ? 'x86' : 'x64'}`,
    '/subsystem:native',
    `/entry:${entry}`,
    '/nodefaultlib',
    '/Brepro',
    '/opt:noref',
    ...(x86 ? ['/safeseh:no'] : []),
    '/debug',
    `/out:${what.name}.sys`,
    `/pdb:${what.name}.pdb`,
    ...what.link,
    ...objects,
  ]);
  return { image, pdb };
}

const CV = ['-g', '-gcodeview'];

/** x86 with and without frame pointers, x64, C++, several block sizes, global hashes, public-only. */
export const BUILDS: readonly Build[] = [
  {
    name: 'x86-fpo',
    target: 'i686',
    source: C_X86,
    language: 'c',
    compile: [...CV, '-O2', '-fomit-frame-pointer'],
    link: [],
    assembly: ASM_X86,
  },
  {
    name: 'x86-ebp',
    target: 'i686',
    source: C_X86,
    language: 'c',
    compile: [...CV, '-O1', '-fno-omit-frame-pointer'],
    link: ['/pdbpagesize:8192'],
  },
  { name: 'x86-public', target: 'i686', source: C_X86, language: 'c', compile: ['-O2'], link: [] },
  {
    name: 'x86-cpp',
    target: 'i686',
    source: CPP,
    language: 'cpp',
    compile: [...CV, '-O1', '-std=c++17', '-fno-exceptions', '-fno-rtti'],
    link: ['/pdbpagesize:16384'],
  },
  {
    name: 'x64-c',
    target: 'x86_64',
    source: C_64,
    language: 'c',
    compile: [...CV, '-O2', '-fasynchronous-unwind-tables'],
    link: [],
  },
  {
    name: 'x64-ghash',
    target: 'x86_64',
    source: C_64,
    language: 'c',
    compile: [...CV, '-O0', '-gcodeview-ghash', '-fasynchronous-unwind-tables'],
    link: ['/debug:ghash', '/pdbpagesize:32768'],
  },
  {
    name: 'x64-cpp',
    target: 'x86_64',
    source: CPP,
    language: 'cpp',
    compile: [...CV, '-O0', '-std=c++17', '-fno-exceptions', '-fno-rtti', '-fasynchronous-unwind-tables'],
    link: ['/debug:ghash'],
  },
  {
    name: 'x64-public',
    target: 'x86_64',
    source: CPP,
    language: 'cpp',
    compile: ['-O1', '-std=c++17', '-fno-exceptions', '-fno-rtti'],
    link: ['/pdbpagesize:4096'],
  },
];

/** PDBs of all {@link BUILDS}; empty without the tools. */
export function builtPdbs(): string[] {
  if (built === undefined) built = canBuild() ? BUILDS.map((what) => build(what).pdb) : [];
  return built;
}
