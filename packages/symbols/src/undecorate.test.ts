import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { undecorateSymbol } from './undecorate.ts';
import { undecorateCpp } from './undecorate-parser.ts';

const I386 = 0x14c;
const AMD64 = 0x8664;

describe('C decorations', () => {
  const x86: [string, string][] = [
    ['_KeBugCheckEx@20', 'KeBugCheckEx'],
    ['@KfAcquireSpinLock@4', 'KfAcquireSpinLock'],
    ['_KiProcessorBlock', 'KiProcessorBlock'],
    ['__imp__NtClose@4', '_imp__NtClose'],
    ['_', '_'],
    ['@', '@'],
    ['@12', '@12'],
    ['_@8', '@8'],
    ['Vector@@16', 'Vector'],
    ['plain', 'plain'],
    ['name@with@8x', 'name@with@8x'],
  ];
  it.each(x86)('%s is %s on x86', (stored, display) => {
    expect(undecorateSymbol(stored, I386)).toBe(display);
  });
  // WinDbg on x64: nt!guard_dispatch_icall, nt!_imp_HalInitSystem, ntdll!_C_specific_handler, nt!local_unwind.
  const x64: [string, string][] = [
    ['_guard_dispatch_icall', 'guard_dispatch_icall'],
    ['__imp_HalInitSystem', '_imp_HalInitSystem'],
    ['__C_specific_handler', '_C_specific_handler'],
    ['_local_unwind', 'local_unwind'],
    ['__imp_?f@@YAXXZ', '_imp_f'],
    ['_Foo@8', 'Foo@8'],
    ['_', '_'],
    ['KiStartUserThread', 'KiStartUserThread'],
  ];
  it.each(x64)('%s is %s on x64: one underscore less', (stored, display) => {
    expect(undecorateSymbol(stored, AMD64)).toBe(display);
  });
});

/** Names from the wild and from LLVM's ms-*.test files; what they mean is in the C++ standard's terms. */
const CPP: [string, string][] = [
  ['?Foo@Bar@@QEAAXXZ', 'Bar::Foo'],
  ['?x@@3HA', 'x'],
  ['??0klass@@QEAA@XZ', 'klass::klass'],
  ['??1klass@@UAE@XZ', 'klass::~klass'],
  ['??_7type_info@@6B@', "type_info::`vftable'"],
  ['??_Gtype_info@@UAEPAXI@Z', "type_info::`scalar deleting destructor'"],
  ['??4klass@@QEAAAEBV0@AEBV0@@Z', 'klass::operator='],
  ['??Bklass@@QEAAHXZ', 'klass::operator int'],
  ['??2@YAPEAX_K@Z', 'operator new'],
  ['??_U@YAPEAX_K@Z', 'operator new[]'],
  ['??__MMyType@@QEAA?AUstrong_ordering@std@@AEBU0@@Z', 'MyType::operator<=>'],
  ['??__K_deg@@YAHO@Z', 'operator ""_deg'],
  ['?fn@?A0x12345678@ns@@YAXXZ', "ns::`anonymous namespace'::fn"],
  ['?M@?1??L@@YAHXZ@4HA', "`L'::`2'::M"],
  ['??__Efoo@@YAXXZ', "`dynamic initializer for 'foo''"],
  ['??__F?val@S@@2HA@@YAXXZ', "`dynamic atexit destructor for 'S::val''"],
  ['??_C@_02PCEFGMJL@hi?$AA@', "`string'"],
  ['??_R0?AVtype_info@@@8', "type_info `RTTI Type Descriptor'"],
  ['??_R1A@?0A@EA@Base@@8', "Base::`RTTI Base Class Descriptor at (0,-1,0,64)'"],
  ['??_R4Derived@@6B@', "Derived::`RTTI Complete Object Locator'"],
  ['?$TSS0@?1??f@@YAXXZ@4HA', "`f'::`2'::`TSS0'"],
  ['?push_back@?$vector@HV?$allocator@H@std@@@std@@QEAAXAEBH@Z', 'std::vector<int,std::allocator<int> >::push_back'],
  ['??$get@PEBD@@YAXXZ', 'get<char const *>'],
  ['??$f@$$A6AHM@Z@@YAXXZ', 'f<int __cdecl(float)>'],
  ['??$f@P6GXH@Z@@YAXXZ', 'f<void (__stdcall*)(int)>'],
  ['??$f@P8S@@EAAXXZ@@YAXXZ', 'f<void (__cdecl S::*)(void)>'],
  ['??$f@PEQS@@H@@YAXXZ', 'f<int S::*>'],
  ['??$f@PAY02H@@YAXXZ', 'f<int (*)[3]>'],
  ['??$f@$$BY02H@@YAXXZ', 'f<int [3]>'],
  ['??$f@$0A@@@YAXXZ', 'f<0>'],
  ['??$f@$0?0@@YAXXZ', 'f<-1>'],
  ['??$f@$0CJKLMN@@@YAXXZ', 'f<2730957>'],
  ['??$f@$1?x@@3HA@@YAXXZ', 'f<&x>'],
  ['??$f@$$T@@YAXXZ', 'f<std::nullptr_t>'],
  ['??$f@$$V@@YAXXZ', 'f<>'],
  ['??$f@$$QEAH@@YAXXZ', 'f<int &&>'],
  ['??$f@AEBQEAH@@YAXXZ', 'f<int * const &>'],
  ['??$f@W4E@@@@YAXXZ', 'f<E>'],
  ['?f@@$$J0YAXXZ', 'f'],
];

describe('C++ names', () => {
  it.each(CPP)('%s is %s', (stored, display) => {
    expect(undecorateSymbol(stored, AMD64)).toBe(display);
  });

  it('undecorates the target of an import', () => {
    expect(undecorateSymbol('__imp_?f@S@@QEAAXXZ', AMD64)).toBe('_imp_S::f');
  });

  it.each([
    '?',
    '??',
    '???',
    '?x',
    '?@',
    '??@3b6a9f7c2d8e@',
    '?x@@',
    '??$f@',
    '?f@?1',
    '??_',
    '??__',
    '?9@@3HA',
    '?f@9@@YAXXZ',
  ])('leaves %s as it is, or reads what there is of it', (name) => {
    const shown = undecorateSymbol(name, AMD64);
    expect(shown === name || !shown.includes('?')).toBe(true);
  });
});

describe('any input', () => {
  const piece = fc.constantFrom(
    ...[
      '?',
      '??',
      '@',
      '@@',
      '$',
      '?$',
      '??$',
      '0',
      '1',
      '9',
      'A',
      'P',
      'PEA',
      'PEB',
      'V',
      'U',
      'W4',
      'Y02',
      '$$A6',
      '$$Q',
    ],
    ...[
      '$0',
      '$1?',
      '?A0x1',
      '?1??',
      '6A',
      '8',
      'X',
      'XZ',
      'H',
      '_N',
      '_W',
      'QEAA',
      'YA',
      '?B',
      '_R0',
      '__E',
      'std',
      'name',
      'Z',
    ],
  );

  it('terminates without an exception and in bounded size', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const shown = undecorateCpp(`?${pieces.join('')}`);
        expect(shown === null || shown.length <= 20_000).toBe(true);
      }),
      { numRuns: 3000, seed: 7 },
    );
  });

  it('survives mutations of real names', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CPP.map(([name]) => name)),
        fc.nat(),
        fc.string({ maxLength: 3 }),
        (name, at, text) => {
          const where = at % (name.length + 1);
          undecorateSymbol(name.slice(0, where) + text + name.slice(where + text.length), AMD64);
        },
      ),
      { numRuns: 3000, seed: 11 },
    );
  });

  it('gives up on nesting and on back references that multiply', () => {
    expect(undecorateCpp(`?f@@YAX${'P6AX'.repeat(1000)}@Z`)).toBe('f');
    expect(undecorateCpp(`??$f@${'PEA'.repeat(5000)}H@@YAXXZ`)).toBeNull();
    expect(undecorateCpp(`??$f${'@V?$g'.repeat(500)}@H${'@@'.repeat(501)}YAXXZ`)).toBeNull();
    let doubling = 'U?$a@HH@@';
    for (let i = 0; i < 60; i++) doubling = `U?$a@${doubling}1@@`;
    expect(undecorateCpp(`??$f@${doubling}@@YAXXZ`)).toBeNull();
  });
});
