CREATE TABLE in_force (
  part TEXT NOT NULL,
  tenant TEXT NOT NULL, -- empty: of all tenants
  digest TEXT NOT NULL,
  PRIMARY KEY (part, tenant)
) {keyed}
