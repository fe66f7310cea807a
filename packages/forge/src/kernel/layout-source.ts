import type { Arch } from '@dumpscope/core';
import { builtinLayouts, loadBuiltin } from '@dumpscope/symbols';
import { ForgeError } from '../memory/address-space.ts';
import { arm64Types } from './arm64-layout.ts';
import type { KernelLayout } from './layout.ts';

/** nt variables that the forge writes: nt must reach at least to the last of them. */
const WRITTEN = [
  'KiProcessorBlock',
  'PsLoadedModuleList',
  'PsActiveProcessHead',
  'MmUnloadedDrivers',
  'MmLastUnloadedDriver',
  'KdDebuggerDataBlock',
  'KdVersionBlock',
  'KiBugCheckData',
  'KeTickCount',
  'KeMaximumIncrement',
  'KeTimeIncrement',
  'KeNumberProcessors',
  'PsIdleProcess',
  'PsInitialSystemProcess',
  'KiInitialProcess',
  'KiIdleProcess',
  'ExpSystemResourcesList',
  'KeBugCheckCallbackListHead',
  'MmHighestUserAddress',
  'MmSystemRangeStart',
  'MmUserProbeAddress',
  'KdpDataBlockEncoded',
  'KiWaitNever',
  'KiWaitAlways',
  'NtBuildLab',
  'NtBuildLabEx',
  'CmNtCSDVersion',
] as const;

/**
 * The built-in layout of a build: its full id (`x64-10.0.19041-89284d0c`), its version (`5.1.2600.5512`) or, for a
 * version that is in no table, the nearest lower table of the same branch.
 */
export function builtinKernelLayout(arch: Arch, build: string, pae: boolean): KernelLayout {
  const wanted = arch === 'arm64' ? 'x64' : arch;
  const own = builtinLayouts.filter((info) => info.arch === wanted && (arch !== 'arm64' || info.build === 22000));
  const fits = own.filter((info) => info.id === build || info.version === build);
  const chosen = fits.find((info) => info.pae === null || info.pae === pae) ?? fits[0];
  if (chosen === undefined) {
    throw new ForgeError(
      `build: no built-in layout of ${arch} ${build}; known: ${own.map((info) => info.version).join(', ')}`,
    );
  }
  const loaded = loadBuiltin(chosen.id);
  if (loaded === undefined) throw new ForgeError(`build: layout ${chosen.id} could not be loaded`);
  const known = (name: string): number | undefined => chosen.symbolRva(name) ?? loaded.symbols.byName(name)?.rva;
  const foreign = arch === 'arm64' || known('PsLoadedModuleList') === undefined;
  const global = foreign ? borrowed(wanted) : known;
  const highest = Math.max(0, ...WRITTEN.map((name) => global(name) ?? 0));
  const types = arch === 'arm64' ? arm64Types(loaded.table) : loaded.table;
  return { build: chosen.id, types, global, highestGlobal: highest };
}

/** Tables that were made from types alone (Windows 7 and 10 on x86) know no variable. */
const DONOR = { x86: 'x86-5.1.2600.5512-30b5fb31', x64: 'x64-10.0.19041-89284d0c' } as const;
const BORROWED_SHIFT = 0x28;

/** Another build's places, moved a little, so that its fingerprint does not match. */
function borrowed(arch: 'x86' | 'x64'): (name: string) => number | undefined {
  const donor = builtinLayouts.find((info) => info.id === DONOR[arch]);
  return (name) => {
    const rva = donor?.symbolRva(name);
    return rva === undefined ? undefined : rva + BORROWED_SHIFT;
  };
}
