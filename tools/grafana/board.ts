// What a dashboard of ours is, in Grafana's own types: two kinds of panels, and rows. `make dashboards-check` writes each
// dashboard beside this file as a literal of this type, so that the compiler names what Grafana would not know.
import type { DataQuery } from "@grafana/schema";
import type {
  Dashboard,
  FieldConfigSource,
  Panel,
  RowPanel,
} from "@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen.d.ts";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type { Options as TimeSeriesOptions } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

// JSON holds the values of enums, not their names.
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

// Grafana 11.6 publishes no type for Prometheus' queries; these are the fields that its editor writes.
type Query = Plain<DataQuery> & { expr: string; legendFormat: string; range: true };

type Of<Kind extends string, Options> = Plain<Omit<Panel, "type" | "options" | "targets" | "fieldConfig">> & {
  type: Kind;
  options: Plain<Options>;
  targets: Query[];
  fieldConfig: Plain<FieldConfigSource>;
};

export type Board = Plain<Omit<Dashboard, "panels">> & {
  panels: Array<Plain<RowPanel> | Of<"timeseries", TimeSeriesOptions> | Of<"stat", StatOptions>>;
};
