/** Sentences about waiting threads name many processes; a redacted report names none. */
import { expect, it } from 'vitest';
import { diagnose, redact } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

for (const name of ['W-cluster', 'W-suspended-owner', 'W-blocked', 'W-missing-owner', 'W-missing-unlisted']) {
  it(name, () => {
    const scenario = scenarioNamed(name);
    const images = Object.values(scenario.processes).flatMap(({ image, pid }) => (pid === 4 ? [] : [image]));
    const report = diagnose(forgedTarget(scenario, { symbols: true }), 'test');
    const told = JSON.stringify(report);
    expect(images.filter((image) => told.includes(image))).not.toEqual([]);
    const redacted = JSON.stringify(redact(report, images));
    expect(images.filter((image) => redacted.includes(image))).toEqual([]);
  });
}
