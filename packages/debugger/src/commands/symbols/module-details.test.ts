import { describe, expect, it } from 'vitest';
import { versionLines } from './module-details.ts';

describe('lines of a version resource', () => {
  const ntfs = {
    fileVersion: '6.1.7600.16385',
    productVersion: '6.1.7600.16385',
    fileFlags: 0,
    fileFlagsMask: 0x3f,
    fileOs: 0x40004,
    fileType: 3,
    fileSubtype: 7,
    fileDate: [0, 0] as const,
    translations: [[0x409, 0x4b0]] as const,
    strings: new Map([['CompanyName', 'Microsoft Corporation']]),
  };

  it('are as a published lmv of ntfs.sys shows them (analyze-v.com, January 2012)', () => {
    expect(versionLines(ntfs)).toEqual([
      '    File version:     6.1.7600.16385',
      '    Product version:  6.1.7600.16385',
      '    File flags:       0 (Mask 3F)',
      '    File OS:          40004 NT Win32',
      '    File type:        3.7 Driver',
      '    File date:        00000000.00000000',
      '    Translations:     0409.04b0',
      '    Information from resource tables:',
      '        CompanyName:      Microsoft Corporation',
    ]);
  });

  it('name flags, systems and types; 4 and 2.0 as in reference/commands.md', () => {
    const lines = versionLines({ ...ntfs, fileFlags: 9, fileOs: 4, fileType: 2, fileSubtype: 0, fileDate: [1, 0xab] });
    expect(lines.slice(2, 6)).toEqual([
      '    File flags:       9 (Mask 3F) Debug Private',
      '    File OS:          4 Unknown Win32',
      '    File type:        2.0 Dll',
      '    File date:        00000001.000000ab',
    ]);
    expect(versionLines({ ...ntfs, fileOs: 0xffffffff, fileType: 0xfff0 }).slice(3, 5)).toEqual([
      '    File OS:          FFFFFFFF Unknown Unknown',
      '    File type:        fff0.7 Unknown',
    ]);
  });

  it('show what WinDbg tries where a resource names no language', () => {
    const lines = versionLines({ ...ntfs, fileVersion: null, translations: [], strings: new Map() });
    expect(lines).toEqual(['    Translations:     0000.04b0 0000.04e4 0409.04b0 0409.04e4']);
  });
});
