import { asciiAt, Structure } from '../../nt/structure.ts';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';

export const cpuinfoCommand: Command = defineCommand({
  names: ['!cpuinfo'],
  summary: 'show family, model and speed of the processors',
  usage: '!cpuinfo',
  fidelity: "The older WinDbg's table; unreadable values print as question marks.",
  run(session) {
    const { target } = session;
    if (target.processors.length === 0)
      throw new CommandError(`!cpuinfo: ${target.processorNote ?? 'no processor blocks in this dump'}`);
    const lines = ['CP  F/M/S Manufacturer  MHz PRCB Signature    MSR 8B Signature Features'];
    const rows = target.processors.map((processor) => {
      const prcb = new Structure(target, '_KPRCB', processor.prcb);
      const family = prcb.number('CpuType');
      const step = prcb.number('CpuStep');
      const model = step === undefined ? undefined : step >>> 8;
      const stepping = step === undefined ? undefined : step & 0xff;
      const vendorAt = prcb.addressOf('VendorString');
      const vendor = vendorAt === undefined ? undefined : asciiAt(target.memory, vendorAt, 13);
      const mhz = prcb.number('MHz');
      const signature = prcb.value('UpdateSignature') ?? prcb.value('UpdateSignature.QuadPart');
      const features = prcb.value('FeatureBits');
      const q = (value: number | undefined): string => (value === undefined ? '?' : String(value));
      const fms = `${q(family)},${q(model)},${q(stepping)}`;
      lines.push(
        `${String(processor.number).padStart(2)}  ${fms} ${vendor ?? '?'} ${q(mhz).padStart(4)} ${signature === undefined ? '????????????????' : hexDigits(signature, 16)}                  ${features === undefined ? '????????' : hexDigits(features & 0xffffffffn, 8)}`,
      );
      return {
        processor: processor.number,
        family: family ?? null,
        model: model ?? null,
        stepping: stepping ?? null,
        vendor: vendor ?? null,
        mhz: mhz ?? null,
        updateSignature: signature ?? null,
        features: features ?? null,
      };
    });
    return result(rows, lines);
  },
});
