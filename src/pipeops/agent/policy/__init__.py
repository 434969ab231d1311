"""What the cluster allows the control plane to do, whatever it asks for and RBAC would grant (design: "The cluster has the last word")."""
