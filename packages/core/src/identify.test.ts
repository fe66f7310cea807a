import { expect, it } from 'vitest';
import { bytesSource } from './byte-source.ts';
import { identify } from './identify.ts';
import { NotADumpError } from './problems.ts';

function refusal(bytes: Uint8Array): string {
  try {
    identify(bytesSource(bytes));
  } catch (error) {
    if (error instanceof NotADumpError) return error.message;
    throw error;
  }
  throw new Error('accepted');
}

function file(start: string | number[], size = 4096): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(typeof start === 'string' ? Array.from(start, (c) => c.charCodeAt(0)) : start);
  return bytes;
}

it.each([
  ['a user-mode minidump', file('MDMP\x93\xa7')],
  ['an ELF core dump', file('\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0')],
  ['an ELF program', file('\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0')],
  ['a ZIP archive', file('PK\x03\x04')],
  ['a 7z archive', file('7z\xbc\xaf\x27\x1c')],
  ['a CAB archive', file('MSCF')],
  ['a DOS or Windows program', file('MZ')],
  ['gzip', file('\x1f\x8b\x08')],
  ['xz', file('\xfd7zXZ\0')],
  ['zstd', file('\x28\xb5\x2f\xfd')],
  ['a PDB', file('Microsoft C/C++ MSF 7.00\r\n\x1aDS')],
  ['nothing but zeros (4096 bytes)', file([])],
  ['begins with 70000 zero bytes', file([...new Uint8Array(70000), 1], 80000)],
  ['the file is empty (0 bytes)', new Uint8Array(0)],
  ['too short', file('PAGE', 4)],
  ['text', file('hello, this is not a dump\n', 26)],
  ['a web page', file('<!DOCTYPE html><html>', 21)],
  ['neither DUMP nor DU64', file('PAGEXXXX')],
  ['less than the header of 8192', file('PAGEDU64', 8191)],
  ['less than the header of 4096', file('PAGEDUMP', 4095)],
  ['a VMware suspended state', file('\xd2\xbe\xd2\xbe')],
  ['a Windows hibernation file', file('HIBR')],
  ['begins with 01 02 03', file([1, 2, 3])],
])('names %s', (what, bytes) => {
  const message = refusal(bytes);
  expect(message).toContain(what);
  expect(message).toContain(String(bytes.length));
  expect(message).not.toContain('\n');
});

it('recognises a PE by its header', () => {
  const image = file('MZ');
  image.set([0x80, 0, 0, 0], 0x3c);
  image.set([0x50, 0x45, 0, 0], 0x80);
  expect(refusal(image)).toContain('program or driver (PE)');
});

it('accepts both signatures with just a header', () => {
  expect(identify(bytesSource(file('PAGEDUMP', 4096)))).toEqual({ pointerSize: 4, headerSize: 0x1000 });
  expect(identify(bytesSource(file('PAGEDU64', 8192)))).toEqual({ pointerSize: 8, headerSize: 0x2000 });
});
